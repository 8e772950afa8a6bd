"""Clients: processes that offer transactions and measure how long each waits."""
