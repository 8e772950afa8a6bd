"""The one reader of TOML files: manifests, keys, experiments, hosts, WAN profiles, `--config`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from honeybadger.cluster.errors import ClusterError

#: characters; the manifest of 65,535 nodes has half as many
LONGEST = 64 * 1024 * 1024


def read_toml(path: Path) -> dict[str, Any]:
    """The file's contents; ClusterError, in one line, if it cannot be read. A byte order mark is no harm."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ClusterError(f"{path}: longer than {LONGEST:,} characters")
        return tomllib.loads(text)
    except OSError as error:
        raise ClusterError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ClusterError(f"{path}: not a valid TOML file: {error}") from None
