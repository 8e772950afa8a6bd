"""Mathematics and keys; knows nothing of consensus and imports nothing from the packages above it.

- `errors`: the exceptions of this package
- `group`, `bls12_381`, `blst`: the interface of a pairing group, BLS12-381, and the C library that computes it
- `shamir`: secret sharing, Lagrange interpolation, Feldman commitments
- `shared_key`: a key shared among nodes: the public side and one node's share
- `combination`: combines shares optimistically, and finds out who sent a bad one
- `threshold_signature`: unique threshold signatures (Boldyreva), and the bit of the common coin
- `threshold_encryption`, `ciphertext`: threshold encryption secure against chosen ciphertexts (Baek and Zheng)
- `signatures`: Ed25519 signatures of single nodes
- `erasure`, `gf256`, `matrix_product`, `merkle`: Reed-Solomon code and hash tree for reliable broadcast
- `dealer`: trusted dealer, and the text form of keys

Node indices start at 0 everywhere; only `shamir` knows that node i evaluates polynomials at i + 1.
"""
