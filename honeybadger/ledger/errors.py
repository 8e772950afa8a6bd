"""The one exception of the ledger: its message is a single line that a person can act on."""


class LedgerError(Exception):
    """A ledger, block, header or proof is unreadable, inconsistent, or in use by another process."""


def printable(text: object) -> str:
    """What a ledger or proof says about itself, fit for a line on a terminal: one line, escaped, 200 characters."""
    line = " ".join(str(text)[:1000].split())
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)[:200]
