"""Mathematics and keys; knows nothing of consensus and imports nothing from the packages above it.

- `suite`, `suites`: what a cryptographic suite is, and all suites by name
- `bls`, `charm`: the two suites, a folder each
- `dealer`: trusted dealer, and the text form of keys
- `errors`: the exceptions of this package

What suites are built from:

- `group`: the interface of a group of prime order
- `shamir`: secret sharing, Lagrange interpolation, Feldman commitments
- `shared_key`: a key shared among nodes: the public side and one node's share
- `signatures`: Ed25519 signatures of single nodes
- `erasure`, `gf256`, `matrix_product`, `merkle`: erasure code and hash tree for reliable broadcast

Node indices start at 0 everywhere; only `shamir` knows that node i evaluates polynomials at i + 1.
"""
