"""The suite `bls`: threshold signatures and encryption from a pairing.

- `suite`: puts the parts together
- `pairing`, `bls12_381`, `blst`: the interface of a pairing group, BLS12-381, and the C library that computes it
- `combination`: combines shares optimistically, and finds out who sent a bad one
- `signature`: unique threshold signatures (Boldyreva), and the bit of the common coin
- `encryption`, `ciphertext`: threshold encryption secure against chosen ciphertexts (Baek and Zheng)
"""
