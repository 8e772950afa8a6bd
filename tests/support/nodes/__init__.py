"""Real node processes for tests: a cluster of them, and a program that runs a node which fails on purpose."""
