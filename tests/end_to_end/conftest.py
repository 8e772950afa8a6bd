"""A cluster that tests share: starting four nodes costs more than most of what a test does with them."""

from collections.abc import Iterator

import pytest
from support.nodes.cluster_harness import Cluster


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cluster]]:
    """The cluster that is up, if any."""
    up: list[Cluster] = []
    yield up
    for cluster in up:
        running = [index for index, process in cluster.processes.items() if process.exit_status is None]
        stopped = cluster.stop()
        assert {stopped[index] for index in running} == {0}


@pytest.fixture
def cluster(
    shared: list[Cluster], request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Four connected nodes with the same ledger. A test may kill them and damage their files, and starts them again
    or leaves that to this fixture; if it fails, the next one gets new nodes."""
    if not shared:
        shared.append(Cluster(tmp_path_factory.mktemp("shared") / "c"))
        shared[0].start()
    failed = request.session.testsfailed
    shared[0].mend()
    shared[0].mark()
    yield shared[0]
    if request.session.testsfailed > failed:
        shared.pop().stop()
