"""What tests share: `from support.network import …`. Nothing in here is a test."""
