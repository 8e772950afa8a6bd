"""The cryptographic suites by name. A suite is imported when it is first asked for: it may not be installed."""

from functools import cache
from importlib import import_module
from typing import Literal

from crypto.errors import CryptoError
from crypto.suite import Suite

_MODULES = {
    "bls": "crypto.bls.suite",
    "charm": "crypto.charm.suite",
    "charm-secp256k1": "crypto.charm.suite",
}
SUITE_NAMES = tuple(_MODULES)
DEFAULT: Literal["bls"] = "bls"


class SuiteMissing(CryptoError):
    """The suite exists, but what it is built on is not installed."""


@cache
def find_suite(name: str) -> Suite:
    """The suite of this name. LookupError if there is none; SuiteMissing, in one line, if it is not installed."""
    if name not in _MODULES:
        raise LookupError(f"there is no suite {name}; there are {', '.join(SUITE_NAMES)}")
    try:
        suites: dict[str, Suite] = import_module(_MODULES[name]).SUITES
    except ImportError as error:
        if name == DEFAULT:
            raise
        why = f"{error.name} is not installed" if isinstance(error, ModuleNotFoundError) else str(error)
        raise SuiteMissing(f"suite = {name}: {why}; run `make charm` in the project's folder") from None
    return suites[name]


def installed_suites() -> list[Suite]:
    """Those that can be used here."""
    found = []
    for name in SUITE_NAMES:
        try:
            found.append(find_suite(name))
        except SuiteMissing:
            continue
    return found
