"""How figures look: needs matplotlib, the optional extra `plot`."""
