"""The one exception of the ledger: its message is a single line that a person can act on."""


class LedgerError(Exception):
    """A ledger, block, header or proof is unreadable, inconsistent, or in use by another process."""
