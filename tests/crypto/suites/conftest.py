"""Fixtures: each suite in turn, with the keys of four nodes, one of them faulty."""

import pytest
from support.suites import AtWork, at_work, dealt_once, suite_or_skip

from crypto.dealer import KEY_NAMES, PublicKeys, SecretKeys
from crypto.suite import Suite
from crypto.suites import SUITE_NAMES


@pytest.fixture(scope="session", params=SUITE_NAMES)
def suite(request: pytest.FixtureRequest) -> Suite:
    return suite_or_skip(request.param)


@pytest.fixture(scope="session")
def public(suite: Suite) -> PublicKeys:
    return dealt_once(suite.name)[0]


@pytest.fixture(scope="session")
def secret(suite: Suite) -> list[SecretKeys]:
    return dealt_once(suite.name)[1]


@pytest.fixture(scope="session", params=KEY_NAMES)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def key(kind: str, suite: Suite) -> AtWork:
    """A key at work among four nodes."""
    return at_work(kind, suite.name)


@pytest.fixture(scope="session", params=[(4, 1), (16, 5)], ids=str)
def large(request: pytest.FixtureRequest, kind: str, suite: Suite) -> AtWork:
    """A key at work among four nodes, and among sixteen."""
    return at_work(kind, suite.name, *request.param)
