"""The fields of a record as a person may set them: type, range, unit and help text, all from `msgspec.Meta`.

Options, keys of files, help and error messages derive from here, for parameters of protocols and for everything else.
"""

import math
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", Path: "the name of a directory"}


class Setting:
    """One field.

    `base`: bool, int, float, str, Path or a Literal; `choices`: the only values, empty if there are others; `default`:
    None if the field has none; `low`, `high`: inclusive limits, None for none; `extra`: what `Meta` holds, of which
    `unit` is a unit and `form` says in words what a text must be.
    """

    def __init__(self, field: msgspec.structs.FieldInfo) -> None:
        self.name = field.name
        members = [member for member in get_args(field.type) if member is not NoneType]
        self._type = members[0] if NoneType in get_args(field.type) else field.type
        self.base, *self._metas = get_args(self._type) if get_origin(self._type) is Annotated else (self._type,)
        self.choices: tuple[Any, ...] = get_args(self.base) if get_origin(self.base) is Literal else ()
        self.default = None if field.default is msgspec.NODEFAULT else field.default
        self.description: str = self._of_metas("description") or ""
        self.low, self.high = self._of_metas("ge"), self._of_metas("le")
        self.extra: dict[str, Any] = {}
        for meta in self._metas:
            self.extra |= meta.extra or {}

    @property
    def expects(self) -> str:
        """What a value must be, in words that follow "is not"."""
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        limits = ""
        if self.low is not None:
            low, *high = (f"{edge:,}".removesuffix(".0") for edge in (self.low, self.high) if edge is not None)
            limits = f" from {low} to {high[0]}" if high else f" of at least {low}"
        return str(self.extra.get("form") or _KINDS[self.base] + limits)

    def convert(self, value: Any, *, is_text: bool = False) -> Any:
        """`value` in the field's type; ValueError if that is not possible. `is_text`: a number may be written out."""
        found = msgspec.convert(value, self._type, strict=not is_text, dec_hook=_decode)
        if isinstance(found, float) and not math.isfinite(found):
            raise ValueError
        return found

    def _of_metas(self, name: str) -> Any:
        return next((getattr(meta, name) for meta in self._metas if getattr(meta, name) is not None), None)


@cache
def settings(record: type[msgspec.Struct]) -> tuple[Setting, ...]:
    """The fields of a record, in order. TypeError for a field that no option can stand for."""
    found = tuple(map(Setting, msgspec.structs.fields(record)))
    for one in found:
        if one.base not in _KINDS and not one.choices:
            raise TypeError(f"{record.__name__}.{one.name} is neither a number, a text nor one of some choices")
    return found


def _decode(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError
