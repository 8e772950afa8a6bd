"""The one reader of TOML files: manifests, keys, experiments, hosts, WAN profiles, `--config`."""

import re
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from honeybadger.cluster.errors import ClusterError
from honeybadger.wording import nearest

#: characters; the manifest of 65,535 nodes has half of that
LONGEST = 64 * 1024 * 1024


#: a key that only one kind of file has, and what that file is
_MARKS = {"consensus": "a cluster's manifest", "curve_secret_key": "a node's key file", "rtt_ms": "a WAN profile"}


def other_kind(raw: dict[str, Any], mark: str = "") -> str:
    """What kind of file this is, if it is clear and not the one that has the key `mark`; else ""."""
    return next((kind for key, kind in _MARKS.items() if key in raw), "") if mark not in raw else ""


def mistyped(error: Exception, *records: type[msgspec.Struct]) -> str:
    """A question about the key that msgspec's `error` calls unknown, if one of `records` has a key like it; else ""."""
    names = {name for record in records for name in record.__struct_fields__}
    key = re.search(r"unknown field `(.*?)`", str(error))
    # One that exists is in the wrong table.
    return nearest(key[1], sorted(names)) if key and key[1] not in names else ""


def read_toml(path: Path) -> dict[str, Any]:
    """The file's contents; ClusterError, in one line, if it cannot be read. A byte order mark is ignored."""
    text = ""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ClusterError(f"{path}: longer than {LONGEST:,} characters")
        return tomllib.loads(text)
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{path}: not a valid TOML file: {error}{_unquoted(error, text)}") from None


def _unquoted(error: Exception, text: str) -> str:
    """What to do if the line of the error has a value, alone or in a list, that is a word without quotes; else ""."""
    place = re.search(r"at line (\d+)", str(error))
    line = text.splitlines()[int(place[1]) - 1] if place else ""
    word = r"[\w.:;|>~@*/+-]*[A-Za-z][\w.:;|>~@*/+-]*"
    return "; text needs quotes" if re.search(rf"=(?:.*[,\[])?\s*{word}\s*(?:$|[,\]#])", line) else ""
