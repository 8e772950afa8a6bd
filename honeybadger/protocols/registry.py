"""Finds protocols by name through the entry points `honeybadger.protocols`, so that other packages can add some.

A protocol is checked when it is first asked for: whatever else uses a `Specification` need not doubt it.
"""

from functools import cache
from importlib.metadata import entry_points

from honeybadger.protocols.contract import Specification, field_lengths
from honeybadger.protocols.faults import FaultKind
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message
from honeybadger.settings import settings
from honeybadger.wording import nearest

GROUP = "honeybadger.protocols"
#: a field that may be longer than this, as far as its type says, must be among the bulky ones
BULKY_BYTES = 64 * 1024


def protocol_names() -> list[str]:
    """Names of the installed protocols, sorted."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


@cache
def find_protocol(name: str) -> Specification:
    """The protocol called `name`; LookupError, in one line, if there is none or its specification is wrong."""
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            specification = entry.load()
            if not isinstance(specification, Specification):
                raise LookupError(f'the entry point of protocol "{name}" is not a Specification')
            if why := flaw(specification) or ("" if specification.name == name else f"its name is {name} outside"):
                raise LookupError(f"protocol {specification.name}: {why}")
            return specification
    names = protocol_names()
    raise LookupError(f'unknown protocol "{name}"; installed: {", ".join(names)}{nearest(name, names)}')


def flaw(specification: Specification) -> str:
    """The first thing that is wrong with a specification, in one line; "" if nothing is."""
    return _wrong_parameters(specification) or _wrong_messages(specification) or _wrong_names(specification)


def _wrong_parameters(specification: Specification) -> str:
    record = specification.parameters
    if not (isinstance(record, type) and issubclass(record, Parameters)):
        return "parameters is no subclass of Parameters"
    try:
        settings(record)
        default = record().protocol
    except TypeError as error:
        return f"{error}"
    return "" if default == specification.name else f'the default of its parameter protocol is "{default}"'


def _wrong_messages(specification: Specification) -> str:
    kinds = specification.message_types
    tags: dict[object, str] = {}
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Message)):
            return f"{getattr(kind, '__name__', kind)} is no Message"
        tag = kind.__struct_config__.tag
        if not isinstance(tag, int) or tag < 1:
            return f"{kind.__name__} has the tag {tag}; a protocol's tags are numbers from 1 on"
        if tag in tags:
            return f"{tags[tag]} and {kind.__name__} have the same tag {tag}"
        tags[tag] = kind.__name__
    if not kinds:
        return "it has no messages"
    declared = {(bulk.message, bulk.field) for bulk in specification.bulky}
    if len(declared) != len(specification.bulky):
        return "a bulky field is declared twice"
    for message, field in declared:
        if message not in kinds or field not in message.__struct_fields__:
            return f"{message.__name__}.{field} is declared bulky, but there is no such field of a message"
    for kind in kinds:
        for field, length in field_lengths(kind).items():
            if length > BULKY_BYTES and (kind, field) not in declared:
                return f"{kind.__name__}.{field} may be longer than {BULKY_BYTES} bytes; declare it bulky"
    return ""


def _wrong_names(specification: Specification) -> str:
    phases = [phase.name for phase in specification.phases]
    if len(phases) < 2 or (phases[0], phases[-1]) != ("proposed", "committed"):
        return 'its phases do not go from "proposed" to "committed"'
    if len(set(phases)) != len(phases):
        return "a phase is there twice"
    own = specification.fault_kinds.__members__ if specification.fault_kinds else {}
    if twice := own.keys() & FaultKind.__members__.keys():
        return f"{min(twice)} is a fault of every protocol already"
    if specification.votes and not all(1 <= vote <= 255 for vote in specification.votes):
        return "a kind of vote is no number from 1 to 255"
    return "" if specification.display_name else "it has no display_name"
