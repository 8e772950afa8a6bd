"""Fields of a record, as a person may give them: as a flag, an environment variable, or a key of a TOML file.

A record is a `msgspec.Struct`. Each of its fields has a `msgspec.Meta` with a description and a range, and in `extra`
what else there is to say (see `Field`). Flags, variables, keys, help and defaults all come from there.
"""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from msgspec import Meta

from honeybadger.cluster.errors import ClusterError
from honeybadger.settings import Setting
from honeybadger.wording import listed, nearest


class SettingsError(ClusterError):
    """An option makes no sense; the text is one line and names the option as it was written."""

    exit_status = 2


class Given(NamedTuple):
    """A value and how the option was written, for errors: `--rate`, `HONEYBADGER_RATE`, or `rate` in a file.

    `is_text`: it comes from a command line or an environment variable, where everything is text.
    """

    value: Any
    written: str
    is_text: bool = False

    def shown(self, value: Any = None) -> str:
        """The option with `value`, or as it was given if that says enough: `--rate 5`, `rate = 5`, `--no-curve`."""
        if value is not None or (self.value is False and not self.written.startswith("--")):
            text = str(value if value is not None else "false")
            return f"{self.written}{' ' if self.written.startswith('--') else ' = '}{text:.60}"
        return self.written


def about(
    group: str, text: str, *, ge: float | None = None, le: float | None = None, pattern: str | None = None, **extra: Any
) -> Meta:
    """The metadata of one field. `text`: its description; `pattern`: of the whole of a text; `extra`: see `Field`."""
    limits: Any = {"ge": ge, "le": le} if pattern is None else {"pattern": rf"^(?:{pattern})\Z"}
    return Meta(description=text, extra={"group": group, **extra}, **limits)


class Field(Setting):
    """One field.

    `key`: in a TOML file, and the flag without its dashes. `group`: its heading in the help; `usual`: what a default of
    None means; `owners`: protocol → default, of a parameter of protocols. `extra` may also hold `short`: a one-letter
    flag; `metavar`: what stands for the value in the help; `separator`: between several values in one text, of an
    option that may be repeated; `names`: a function that lists possible values; `in_experiments`: False for what an
    experiment decides by itself.
    """

    def __init__(self, field: msgspec.structs.FieldInfo, group: str = "") -> None:
        super().__init__(field)
        self.key = self.name.removesuffix("_s").replace("_", "-")
        self.variable = "HONEYBADGER_" + self.key.upper().replace("-", "_")
        self.group = self.extra.get("group", group)
        self.usual = self.extra.get("usual", "")
        self.owners: dict[str, Any] = {}

    def help(self, default: Any, protocols: int) -> str:
        """All there is to say on the command line; `protocols`: how many are installed."""
        text = self.description
        if unit := self.extra.get("unit"):
            text = f"{text.rstrip('.')}, {'seconds' if unit == 's' else unit}."
        if names := self.extra.get("names"):
            text = f"{text.rstrip('.')}: {', '.join(names())}."
        if 0 < len(self.owners) < protocols:
            text += f" Only with {listed(self.owners)}."
        usual = self.usual or default
        if isinstance(usual, bool):
            usual = self.key if usual else ""
        elif not self.usual and len({*map(str, self.owners.values())}) > 1:
            usual = ", ".join(f"{name} {value}" for name, value in self.owners.items())
        return text if usual in (None, "") else f"{text}  [default: {usual}]"

    def read(self, given: Given) -> Any:
        """The value; SettingsError if it is of the wrong type or out of range. None and "" stand for no value."""
        value = given.value
        if type(value) is int and (self.base is str or str(value) in self.choices):
            value = str(value)
        try:
            if self.base is int and given.is_text and not re.fullmatch(r"[+-]?\d+", value, re.ASCII):
                raise ValueError
            return self.convert(value, is_text=given.is_text)
        except (ValueError, OverflowError):
            shown = given.shown(repr(value) if isinstance(value, str) else str(value).lower())
            hint = nearest(value, map(str, self.choices)) if isinstance(value, str) else ""
            if self.base in (int, float) and re.fullmatch(r"[\d.,_]+ ?[a-zA-Z]+", str(value), re.ASCII):
                hint = "; write the number without a unit"
            raise SettingsError(f"{shown} is not {self.expects}{hint}") from None


def fields_of(record: type[msgspec.Struct], group: str = "") -> dict[str, Field]:
    """Key → field of each field that a person may choose, which a nested record is not; `group`: of those that name
    none."""
    fields = (Field(one, group) for one in msgspec.structs.fields(record))
    return {field.key: field for field in fields if not hasattr(field.base, "__struct_fields__")}


def given_in(raw: Mapping[str, Any], file: object = "") -> dict[str, Given]:
    """Key → what a TOML table says, whose keys may be written with - or _; `file` is named in errors."""
    given: dict[str, Given] = {}
    for key, value in raw.items():
        written = f"{file}: {key}" if file else key
        if (key := key.replace("_", "-")) in given:
            raise SettingsError(f"{written} is there twice, with - and with _")
        given[key] = Given(value, written)
    return given
