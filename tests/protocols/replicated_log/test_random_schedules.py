"""Raft, Viewstamped Replication and Zab under random trouble: all nodes come to the same blocks, and to the end."""

import pytest
from support.crash_faults.search import run

from honeybadger.protocols.raft import SPECIFICATION as RAFT
from honeybadger.protocols.vr import SPECIFICATION as VR
from honeybadger.protocols.zab import SPECIFICATION as ZAB


@pytest.mark.parametrize("specification", [RAFT, VR, ZAB], ids=lambda each: each.name)
@pytest.mark.parametrize("part", range(4))
def test_nodes_agree_and_come_to_the_end(specification, part):
    for seed in range(20 * part, 20 * part + 20):
        result = run(specification, seed, loses_journals=specification is VR)
        assert not result.trouble, f"seed {seed}: {result.trouble}"
