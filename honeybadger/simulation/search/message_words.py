"""A message in words, for people."""

import re

import msgspec

from honeybadger.protocols.wire import Message
from honeybadger.wording import counted


def in_words(message: Message) -> str:
    """As in AUX(epoch 1, proposer 0, round 2, value true)."""
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(message).__name__).upper()
    fields = ((field.name, getattr(message, field.name)) for field in msgspec.structs.fields(message))
    return f"{name}({', '.join(f'{field} {_value(value)}' for field, value in fields)})"


def _value(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        data = bytes(value)
        return data.hex() if len(data) <= 4 else f"{data[:4].hex()}…"
    if isinstance(value, list | tuple | dict):
        return counted(len(value), "item")
    if isinstance(value, bool):
        return str(value).lower()
    text = str(value)
    return text if len(text) <= 20 else text[:19] + "…"
