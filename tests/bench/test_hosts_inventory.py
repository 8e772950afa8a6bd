"""hosts.toml and what a host says of itself: what is refused, and which node lives where."""

from pathlib import Path

import pytest

from bench.places.hosts.inventory import Host, Inventory
from bench.places.hosts.link import HostError, Link
from bench.places.hosts.preflight import Clock, check_facts, describe
from honeybadger.cluster.errors import ClusterError

TWO = '[[hosts]]\nname = "a"\nssh = "192.0.2.1"\n[[hosts]]\nname = "b"\nssh = "192.0.2.2"\n'


def load(tmp_path, text: str) -> Inventory:
    (tmp_path / "hosts.toml").write_text(text)
    return Inventory.load(tmp_path / "hosts.toml")


def test_defaults_and_names_as_they_are_written(tmp_path):
    inventory = load(tmp_path, "base-port = 7000\nlost-after = 5\n" + TWO + 'address = "10.0.0.2"\nnodes = 3\n')
    assert inventory.base_port == 7000 and inventory.lost_after == 5.0
    a, b = inventory.hosts
    assert (a.port, a.user, a.python, a.node_address) == (22, None, "python3", "192.0.2.1")
    assert b.node_address == "10.0.0.2"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "hosts"),
        ("hosts = []\n", "hosts"),
        ("[[hosts]]\n", "name"),
        (TWO + "prot = 22\n", "unknown field `prot`"),
        ("baseport = 7000\n" + TWO, "unknown field `baseport`"),
        (TWO + "port = 0\n", "port"),
        (TWO + "port = '22'\n", "port"),
        (TWO + "nodes = 0\n", "nodes"),
        (TWO + "address = 'a b'\n", "address"),
        (TWO + "address = '192.0.2.0/24'\n", 'host b: "192.0.2.0/24" is not a host name'),
        (TWO.replace('"b"', '"b"\naddress = "192.0.2.9"').replace("192.0.2.2", "*"), '"*" is not a host name'),
        (TWO + "address = '192.0.2.1'\n", "two hosts have the address 192.0.2.1"),
        (TWO.replace('"b"', '"a"'), "two hosts are called a"),
        (TWO.replace('"b"', '"b c"'), "name"),
        ("lost-after = 0.1\n" + TWO, "lost-after"),
        ("max-clock-offset = nan\n" + TWO, "max-clock-offset"),
        ("[[hosts]\n", "not a valid TOML file"),
        ("a = \ud800", None),
    ],
)
def test_what_is_refused(tmp_path, text, reason):
    path = tmp_path / "hosts.toml"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ClusterError) as caught:
        Inventory.load(path)
    assert str(path) in str(caught.value) and (reason is None or reason in str(caught.value)), caught.value


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ClusterError, match="No such file"):
        Inventory.load(tmp_path / "none")


def test_nodes_are_dealt_out_in_turn(tmp_path):
    inventory = load(tmp_path, TWO)
    assert inventory.assign(5) == [0, 1, 0, 1, 0]
    inventory = load(tmp_path, TWO.replace('"192.0.2.1"', '"192.0.2.1"\nnodes = 1'))
    assert inventory.assign(4) == [0, 1, 1, 1]
    inventory = load(tmp_path, TWO.replace('"192.0.2.1"', '"192.0.2.1"\nnodes = 1') + "nodes = 2\n")
    assert inventory.assign(3) == [0, 1, 1]
    with pytest.raises(ClusterError, match="4 nodes do not fit: the hosts have room for 3"):
        inventory.assign(4)


FACTS = {"python": "3.12.1", "implementation": "CPython", "system": "Linux 6.1"}
FACTS |= {"cores": 2, "descriptors": 1024, "free_bytes": 10**10}
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
