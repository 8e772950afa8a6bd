"""The tables of messages in the docs have every message of each protocol, with every field and some words on each."""

import re
from pathlib import Path

import pytest

from honeybadger.node.block_messages import BLOCK_MESSAGES
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.registry import find_protocol
from honeybadger.protocols.wire import Message

DOCS = Path(__file__).parents[2] / "docs"
TABLES = {
    "honey-badger.md": find_protocol("honeybadger").message_types,
    "pbft.md": find_protocol("pbft").message_types,
    "protocols/hotstuff.md": find_protocol("hotstuff").message_types,
    "extend.md": BLOCK_MESSAGES,
}
HEADINGS = ("message", "sent", "fields", "in the journal", "a lie in it can")


def rows(page: str) -> list[dict[str, str]]:
    """Of the table whose first column is "message", by heading."""
    lines = (DOCS / page).read_text(encoding="utf-8").splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("| message | sent |"))
    end = next(i for i in range(begin, len(lines)) if not lines[i].startswith("|"))
    headings, _, *table = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[begin:end])
    return [dict(zip(headings, row, strict=True)) for row in table]


@pytest.mark.parametrize("page", TABLES)
def test_every_message_is_there_in_the_order_of_its_tag(page: str) -> None:
    assert [row["message"] for row in rows(page)] == [f"`{kind.__name__}`" for kind in TABLES[page]]
    assert all(row.keys() <= set(HEADINGS) and all(row.values()) for row in rows(page))


@pytest.mark.parametrize(("page", "kind"), [(page, kind) for page, kinds in TABLES.items() for kind in kinds])
def test_every_field_is_there_with_its_meaning(page: str, kind: type[Message]) -> None:
    (row,) = (row for row in rows(page) if row["message"] == f"`{kind.__name__}`")
    fields = [re.fullmatch(r"`(\w+)`: \S.*", part) for part in row["fields"].split("; ")]
    assert ["epoch", *(field and field[1] for field in fields)] == list(kind.__struct_fields__)


@pytest.mark.parametrize("page", TABLES)
def test_the_faults_that_are_named_exist(page: str) -> None:
    own = find_protocol({"pbft.md": "pbft", "protocols/hotstuff.md": "hotstuff"}.get(page, "honeybadger")).fault_kinds
    kinds = {*FaultKind.__members__, *(own.__members__ if own else ())}
    named = {name for row in rows(page) for name in re.findall(r"`([A-Z]+_?[A-Z_]+)`", row["a lie in it can"])}
    assert named and named <= kinds
