"""The suite `charm`, without pairings: Charm's elliptic curves, PyCryptodome, zfec. `make charm` installs these.

- `suite`: puts the parts together
- `curve`: prime256v1 and secp256k1 through Charm
- `proof`: that two logarithms are equal, without saying which (Chaum and Pedersen)
- `combination`: combines shares that carry such a proof, and finds out who sent a bad one
- `coin`: the common coin (Cachin, Kursawe and Shoup)
- `encryption`, `ciphertext`: threshold encryption secure against chosen ciphertexts (TDH2, Shoup and Gennaro)
- `certificate`: lists of Ed25519 signatures
- `code`: the erasure code
- `build`: what `make charm` runs
"""
