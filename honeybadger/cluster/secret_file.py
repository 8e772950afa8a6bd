"""Files that hold secrets: written with mode 0600; warns if others may read them."""

import os
import pwd
import stat
from pathlib import Path


def write_new(path: Path, text: str) -> None:
    """Write a new file for the owner only; on failure, leave none behind."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink()
        raise


def closed(path: Path) -> str:
    """Whose file this is and what to do, if this process may not read it or enter its directory; else ""."""
    for part in (*reversed(path.absolute().parents), path):
        if part.exists() and not os.access(part, os.X_OK if part.is_dir() else os.R_OK):
            status, me = part.stat(), os.geteuid()
            if status.st_uid == me:
                return f"you may not read {part} (mode {stat.S_IMODE(status.st_mode):04o}): chmod u+rX {part}"
            whose, user = _user(status.st_uid), _user(me)
            return f"{part} belongs to {whose}, and {user} may not read it: run this as {whose}, or chown it to {user}"
    return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"


def exposure(path: Path) -> str:
    """A warning if anybody but the owner may read or write the file, else ""."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    return f"others may use the secrets in {path} (mode {mode:04o}): chmod 600" if mode & 0o077 else ""
