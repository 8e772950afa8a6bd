"""What docs/extend.md has in its blocks."""

import re
from pathlib import Path

EXTEND = (Path(__file__).parents[2] / "docs" / "extend.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return [
        re.sub(r"^   ", "", block, flags=re.MULTILINE) if block.startswith("   ") else block
        for block in re.findall(rf"```{language}\n(.*?)```", EXTEND, re.DOTALL)
    ]


def save_vote_zero(directory: Path) -> Path:
    """The file that a reader is told to save."""
    (source,) = (block for block in blocks("python") if "class VoteZero" in block)
    file = directory / "vote_zero.py"
    file.write_text(source, encoding="utf-8")
    return file
