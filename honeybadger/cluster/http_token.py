"""The token that lets a client submit transactions over HTTP: a file of its own, mode 0600, beside the key file.

Not in the key file, so that whoever submits need not be given a node's secret keys.
"""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.secret_file import write_new

TOKEN_FILE = "http-token"


def new_token() -> str:
    """256 random bits, as 43 characters that need no quoting."""
    return secrets.token_urlsafe(32)


def save_token(path: Path, token: str) -> None:
    """Write with mode 0600; refuses to replace a file."""
    write_new(path, token + "\n")


def load_token(path: Path) -> str:
    """The token; "" if there is no such file: then nobody may submit. ClusterError, without the token, otherwise."""
    try:
        text = path.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not re.fullmatch(r"[!-~]{20,200}", text):
        raise ClusterError(f"{path}: not a token, which is 20 to 200 printable characters without blanks")
    return text
