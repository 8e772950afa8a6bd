"""One watcher for the tests of a file."""

from collections.abc import Iterator

import pytest
from support.watch import Watched, watched


@pytest.fixture(scope="module")
def running() -> Iterator[Watched]:
    with watched() as running:
        yield running


@pytest.fixture
def cluster(running: Watched) -> Watched:
    """The watcher and its nodes, which are honest again."""
    for node in running.nodes:
        node.restore()
    running.until(lambda: running.ask("/health")[0] == 200 and None not in running.get("/status"))
    return running
