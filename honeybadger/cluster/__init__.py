"""A cluster's public manifest (`manifest.py`), the secret key files of its nodes (`keys.py`), and the dealer that
writes both (`keygen.py`).
"""
