"""Text that strangers wrote, fit for a terminal: a transaction may be an escape sequence that clears the screen."""

import json


def escaped(text: str) -> str:
    r"""On one line and printable; what is not, and the backslash, is written as in JSON: `\n`, `\u001b`, `\\`."""
    return "".join(c if c.isprintable() and c != "\\" else json.dumps(c)[1:-1] for c in text)


def shown(transaction: bytes) -> str:
    """Text in quotes, or hexadecimal without them if it is not UTF-8."""
    try:
        return f'"{escaped(transaction.decode())}"'
    except UnicodeDecodeError:
        return transaction.hex()
