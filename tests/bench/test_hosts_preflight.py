"""What a host says of itself, and which of it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.hosts.inventory import Host, Inventory
from bench.hosts.link import HostError, Link
from bench.hosts.preflight import Clock, check_facts, describe

FACTS = {
    "python": "3.12.1",
    "implementation": "CPython",
    "system": "Linux 6.1",
    "cores": 2,
    "descriptors": 1024,
    "free_bytes": 10**10,
}
CLOCK = Clock(offset_s=-5000.0, unix_offset_s=0.2, round_trip_s=0.01)


def check(facts=FACTS, clock=CLOCK, nodes=4, here=1) -> None:
    host = Host(name="h", ssh="192.0.2.1")
    link = Link(host, Path("none"), 15.0, lambda *_: None, lambda *_: None)
    check_facts(link, facts, clock, Inventory(hosts=[host]), nodes, here)


def test_a_good_host_passes():
    check()
    # No limit at all is written as a negative number.
    check({**FACTS, "descriptors": -1})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"facts": {**FACTS, "python": "3.9.18"}}, "Python 3.9.18 is too old"),
        ({"facts": {**FACTS, "implementation": "PyPy"}}, "PyPy on Linux 6.1, but CPython on Linux is needed"),
        ({"facts": {**FACTS, "system": "Darwin 23"}}, "CPython on Darwin 23, but CPython on Linux is needed"),
        ({"nodes": 200}, "200 nodes need 1700 file descriptors, the limit is 1024"),
        ({"facts": {**FACTS, "free_bytes": 5 * 10**8}}, "500 MB are free in /tmp, 839 are needed"),
        ({"here": 100}, "10,000 MB are free in /tmp, 21,601 are needed"),
        ({"clock": Clock(0.0, 3.5, 0.01)}, "its clock is 3.500 s ahead of ours, max-clock-offset allows 1 s"),
        ({"clock": Clock(0.0, -3.5, 0.01)}, "its clock is 3.500 s behind of ours, max-clock-offset allows 1 s"),
    ],
)
def test_a_host_that_will_not_do_is_named_with_the_cause(changes, reason):
    with pytest.raises(HostError) as caught:
        check(**changes)
    assert str(caught.value) == f"host h: {reason}"


def test_more_nodes_than_cores_is_worth_a_word():
    assert "attention" not in describe(FACTS, CLOCK, 2)
    assert "2 cores for 3 nodes (attention: more nodes than cores)" in describe(FACTS, CLOCK, 3)
