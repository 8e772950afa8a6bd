"""Files that hold secrets: made with mode 0600, and pointed out when others may read them."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def write_new(path: Path, text: str) -> None:
    """Write a file for the owner only; refuses to replace one, and leaves none behind if it cannot be written."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except BaseException:
        path.unlink()
        raise


def exposure(path: Path) -> str:
    """A line for people if anybody but the owner may read or write the file, else ""."""
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    return f"others may use the secrets in {path} (mode {mode:04o}): chmod 600" if mode & 0o077 else ""
