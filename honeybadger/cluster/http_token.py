"""The token that lets a client submit transactions over HTTP: a file of its own, mode 0600, next to the manifest."""

import re
from pathlib import Path

from honeybadger.cluster.errors import ClusterError

TOKEN_FILE = "http-token"


def load_token(path: Path) -> str:
    """The token, or "" if there is no file: then nobody may submit. ClusterError if the file is bad."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(1000).strip()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not re.fullmatch(r"[!-~]{20,200}", text):
        raise ClusterError(f"{path}: not a token: a token is 20 to 200 printable characters without blanks")
    return text
