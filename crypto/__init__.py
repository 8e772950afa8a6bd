"""Mathematics and keys; knows nothing of consensus and imports nothing from the packages above it.

==========================  ==========================================================================
``errors``                  the exceptions of this package
``group``, ``bls12_381``    pairing-group interface, and its BLS12-381 implementation (blst)
``shamir``                  secret sharing, Lagrange interpolation, Feldman commitments
``shared_key``              a key shared among nodes: the public side and one node's share
``combination``             combining shares optimistically, and finding out who sent a bad one
``threshold_signature``     unique threshold signatures (Boldyreva), the common coin's bit
``threshold_encryption``    threshold encryption secure against chosen ciphertexts (Baek and Zheng)
``erasure``, ``merkle``     Reed-Solomon code and hash tree for reliable broadcast
``dealer``                  trusted dealer, and the text form of keys
==========================  ==========================================================================

Node indices start at 0 everywhere; only ``shamir`` knows that node i evaluates polynomials at i + 1.
"""
