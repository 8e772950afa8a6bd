"""Profiles of emulated WANs, and the `tc` commands that they become."""

import tomllib

import pytest

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.wan.netem import netem, packets, tc_commands
from honeybadger.cluster.wan.profile import PROFILES, Link, Profile

GOOD = """
source = "made up"
regions = ["a", "b", "c"]
rtt_ms = [[1, 40, 80], [40, 1, 60], [80, 60, 1]]
jitter_ms = 0.5
rate_mbit_per_s = 10
[[pairs]]
regions = ["c", "a"]
jitter_ms = 3.0
loss_percent = 1.5
"""


def profile(tmp_path, text: str = GOOD) -> Profile:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return Profile.find(str(path))


@pytest.mark.parametrize("name", Profile.names())
def test_the_packaged_profiles_are_good_and_say_where_they_come_from(name):
    found = Profile.find(name)
    assert found.source and found.about and found.name == name
    raw = tomllib.loads((PROFILES / f"{name}.toml").read_text())
    assert raw["rtt_ms"] == [
        [found.rtt_ms(a, b) for b in range(len(raw["regions"]))] for a in range(len(raw["regions"]))
    ]


def test_the_paper_had_eight_regions():
    found = Profile.find("eight-regions")
    assert len(found.regions) == 8
    assert found.rtt_ms(0, 3) == 80.55, "Virginia and Ireland"
    assert "amiller/HoneyBadgerBFT" in found.source
    longest = max(found.rtt_ms(a, b) for a in range(8) for b in range(8))
    assert longest == found.rtt_ms(4, 5) == 328.1, "Sao Paulo and Singapore"


def test_a_pair_overrides_what_it_names_in_both_directions_and_nodes_go_round_the_regions(tmp_path):
    found = profile(tmp_path)
    assert [found.region_of(node) for node in range(5)] == [0, 1, 2, 0, 1]
    assert found.link(0, 2) == found.link(2, 0) == Link(40.0, 3.0, 1.5, 10.0)
    assert found.link(0, 1) == Link(20.0, 0.5, 0.0, 10.0)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[40, 1, 60]", "[41, 1, 60]", r"rtt_ms: 40 from a to b, but 41 back"),
        ("[40, 1, 60]", "[40, 1]", r"not 3 rows of 3 numbers"),
        ("[40, 1, 60]", "[40, 0, 60]", r"0 between b and b is not from 0\.5 to 10000 ms"),
        ("[40, 1, 60]", "[40, nan, 60]", r"nan between b and b"),
        ("[40, 1, 60]", '[40, "1", 60]', r"Expected `float`"),
        ('"a", "b", "c"', '"a", "b", "b"', r"two regions have the same name"),
        ('["c", "a"]', '["c", "x"]', r"there is no region 'x'"),
        ("jitter_ms = 3.0", "jitter_ms = 60.0", r"jitter of 60 ms exceeds the 40 ms"),
        ("[[pairs]]", '[[pairs]]\nregions = ["a", "c"]\n[[pairs]]', r"c and a is there twice"),
        ("loss_percent = 1.5", "loss_percent = 51", r"<= 50"),
        ("rate_mbit_per_s = 10", "rate_mbit_per_s = 0", r">= 0\.1"),
        ('source = "made up"', "", r"missing required field `source`"),
        ("jitter_ms = 0.5", "jiter_ms = 0.5", r"unknown field `jiter_ms`"),
        ("source", "source = = ", r"not a valid TOML file"),
    ],
)
def test_nonsense_in_a_profile_is_named(tmp_path, old, new, complaint):
    assert old in GOOD
    with pytest.raises(ClusterError, match=complaint) as raised:
        profile(tmp_path, GOOD.replace(old, new, 1))
    assert "mine.toml" in str(raised.value) and "\n" not in str(raised.value)


def test_unknown_profiles_are_told_the_known_ones(tmp_path):
    with pytest.raises(ClusterError, match="no WAN profile 'mars': use eight-regions, five-regions, two-regions"):
        Profile.find("mars")
    with pytest.raises(ClusterError, match="No such file"):
        Profile.find(str(tmp_path / "nothing.toml"))


def test_each_direction_gets_half_of_the_round_trip(tmp_path):
    assert tc_commands(profile(tmp_path), 1, ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"], "eth7") == [
        "qdisc add dev eth7 root handle 1: htb",
        "class add dev eth7 parent 1: classid 1:1 htb rate 40gbit quantum 60000",
        "qdisc add dev eth7 parent 1:1 handle 2: netem limit 10000 delay 20000us 500us rate 10000kbit",
        "class add dev eth7 parent 1: classid 1:3 htb rate 40gbit quantum 60000",
        "qdisc add dev eth7 parent 1:3 handle 4: netem limit 10000 delay 30000us 500us rate 10000kbit",
        "filter add dev eth7 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.1/32 flowid 1:1",
        "filter add dev eth7 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.3/32 flowid 1:3",
        "filter add dev eth7 parent 1: protocol ip prio 1 u32 match ip dst 10.0.0.4/32 flowid 1:1",
    ]


def test_there_is_a_class_for_ones_own_region_only_if_somebody_else_is_there(tmp_path):
    lines = tc_commands(profile(tmp_path), 0, [f"10.0.0.{n}" for n in range(1, 5)], "eth0")
    assert "qdisc add dev eth0 parent 1:1 handle 2: netem limit 10000 delay 500us 500us rate 10000kbit" in lines
    assert not any("1:1 " in line for line in tc_commands(profile(tmp_path), 0, ["10.0.0.1", "10.0.0.2"], "eth0"))


def test_numbers_of_classes_are_hexadecimal(tmp_path):
    regions = [f"r{n}" for n in range(12)]
    text = f"source = 'x'\nregions = {regions}\nrtt_ms = {[[20.0] * 12] * 12}\n"
    lines = tc_commands(profile(tmp_path, text), 0, [f"10.0.0.{n}" for n in range(1, 13)], "eth0")
    assert lines[-1].endswith("dst 10.0.0.12/32 flowid 1:c")
    assert any("parent 1:c handle d: netem" in line for line in lines)


def test_loss_and_jitter_are_left_out_if_there_are_none():
    assert netem(Link(10.0, 0.0, 0.0, 100.0)) == "netem limit 10000 delay 10000us rate 100000kbit"
    assert netem(Link(10.0, 2.5, 0.25, 0.5)) == "netem limit 10000 delay 10000us 2500us loss 0.25% rate 500kbit"


def test_a_long_fast_link_holds_more_than_what_fills_it():
    link = Link(150.0, 0.0, 0.0, 10_000.0)
    filling = 10_000e6 / 8 * 0.150 / 1500
    assert packets(link) >= 2 * filling > 1000, "netem's own limit of 1,000 packets would throttle the link"
