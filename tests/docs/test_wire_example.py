"""The bytes that docs/how-it-works.md shows are what goes over the wire."""

import re
from pathlib import Path

from honeybadger.network.codec import HEADER_BYTES, Codec
from honeybadger.protocols.registry import find_protocol

PAGE = (Path(__file__).parents[2] / "docs" / "how-it-works.md").read_text(encoding="utf-8")


def test_the_entry_decodes_to_what_is_said_of_it() -> None:
    example = re.search(r"^ 92 .*\n(?: {3}95 .*\n){2}", PAGE, re.MULTILINE)
    assert example is not None
    data = bytes.fromhex("".join(re.findall(r"^ +((?:[0-9a-f]{2} )+)", example[0], re.MULTILINE)))
    messages = Codec(find_protocol("honeybadger").message_types, 1000).decode(data)
    said = [(type(m).__name__, m.epoch, m.proposer, m.round, m.value) for m in messages]  # type: ignore[attr-defined]
    assert said == [("BVal", 7, 2, 0, True), ("Aux", 7, 2, 0, True)]
    assert f"is {len(data)} bytes long" in PAGE


def test_the_header_has_the_length_that_is_said() -> None:
    assert f"header             {HEADER_BYTES} bytes" in PAGE
