"""docs/client.md lists every option with its default, and every field, as the code has them."""

import inspect
import re
from ast import literal_eval
from pathlib import Path

import msgspec

from honeybadger.client import Cluster, CommittedBlock, CommittedHeader, NodeStatus
from honeybadger.ledger.block import Header

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")


def rows(first_heading: str) -> list[list[str]]:
    """The cells of the table that begins with this heading."""
    (body,) = re.findall(rf"^\| {re.escape(first_heading)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in body.splitlines()]


def fields(first_heading: str) -> list[str]:
    return [name for cells in rows(first_heading) for name in re.findall(r"`(\w+)`", cells[0])]


def properties(*classes: type) -> set[str]:
    return {name for each in classes for name, value in vars(each).items() if isinstance(value, property)}


def test_every_option_with_its_default() -> None:
    said: dict[str, dict[str, object]] = {}
    call = ""
    for name, option, default, _ in rows("call | option"):
        call = name.strip("`") or call
        value = literal_eval(default.strip("`")) if default else inspect.Parameter.empty
        said.setdefault(call, {})[option.strip("`")] = value
    real = {}
    for name in said:
        parameters = inspect.signature(Cluster if name == "open" else getattr(Cluster, name)).parameters
        real[name] = {key: each.default for key, each in parameters.items() if key not in ("self", "manifest")}
    assert said == real
    public = {name for name, value in vars(Cluster).items() if inspect.isfunction(value) and name[0] != "_"}
    assert set(said) == public - {"close"} | {"open"}


def test_every_field_of_a_block() -> None:
    listed = fields("field of a block")
    stored = [*inspect.signature(CommittedBlock).parameters]
    assert sorted(listed) == sorted({*stored, *properties(CommittedBlock, CommittedHeader)})
    of_header = {*inspect.signature(CommittedHeader).parameters, *properties(CommittedHeader)}
    assert set(listed[:4]) == of_header


def test_every_field_of_a_header() -> None:
    assert sorted(fields("field of `header`")) == sorted({*Header.__struct_fields__, *properties(Header)})


def test_every_field_of_a_status() -> None:
    assert sorted(fields("field of a status")) == sorted(field.name for field in msgspec.structs.fields(NodeStatus))
