"""A cluster's public manifest (`manifest.py`), its nodes' secret key files (`keys.py`), and how both are made
(`keygen.py`).
"""
