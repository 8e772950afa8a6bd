"""Settings and faults in words for people."""

import pytest

from bench.plan.experiment import Experiment
from bench.show.words import label, line_names, protocol_name, setting


def options(**given):
    return Experiment.parse({"duration": 20, **given}, "x").runs[0].options


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("delay", "leader:2s@9-17", "node 0's messages delayed by 2 s"),
        ("delay", "0>1,2,3:2s@9-17", "node 0's messages delayed by 2 s"),
        ("delay", "3:50ms~5ms", "messages from and to node 3 delayed by 50 ms ± 5 ms"),
        ("delay", "0,1>2:50ms", "messages from nodes 0 and 1 to node 2 delayed by 50 ms"),
        ("delay", "*>2:50ms", "messages to node 2 delayed by 50 ms"),
        ("delay", "100ms;0>1:1s", "all messages delayed by 100 ms and messages from node 0 to node 1 delayed by 1 s"),
        ("bandwidth", "3:250kB@6-10", "node 3's links limited to 250 kB/s"),
        ("bandwidth", "1.5MB", "all links limited to 1.5 MB/s"),
        ("drop", "0.01", "all connections broken at 1 % of messages"),
        ("reset", "3:500ms@1-", "node 3's connections reset every 500 ms"),
        ("slow", "3:20ms@6-10", "node 3 reading a message every 20 ms"),
        ("partition", "0,1|2,3@5-10", "nodes 0 and 1 cut off from nodes 2 and 3"),
        ("partition", "3@5-10", "node 3 cut off"),
        ("partition", "0>1@5-10", "messages from node 0 to node 1 lost"),
        ("byzantine", "1:silent", "1 Byzantine (silent)"),
        ("crash", 1, "1 node killed"),
        ("restart", 1, "1 node killed and restarted"),
        ("restart-all", True, "all nodes killed and restarted"),
        ("rate", 1000, "1,000 tx/s offered"),
        ("batch-size", 4000, "B = 4,000"),
        ("tx-size", "100-500", "100–500-byte transactions"),
        ("tx-size", "exp:250", "transactions of 250 bytes on average"),
        ("curve", False, "without curve"),
        ("clients", 2, "2 load generators"),
        ("protocol", "honeybadger", "Honey Badger"),
    ],
)
def test_a_setting_in_words(key, value, words):
    assert setting(options(**{key: value}), key) == words


def test_a_protocol_with_a_leader_and_one_that_is_not_installed():
    assert setting(options(protocol="pbft", delay="leader:2s"), "delay") == "the leader's messages delayed by 2 s"
    assert protocol_name("swift") == "swift"
    assert setting({"protocol": "swift", "nodes": 4, "delay": "leader:2s"}, "delay").startswith("the leader's")


def test_what_is_not_understood_is_said_as_it_is_written():
    assert setting({"delay": "a while", "nodes": 4}, "delay") == "delay = a while"


def test_the_protocol_comes_first_and_absent_faults_are_one_word():
    given = options(protocol="pbft")
    assert label(given, ["nodes", "protocol", "delay", "crash"]) == "PBFT, N = 4, no fault"
    assert label(given, []) == "all runs"
    # Details of what is absent say nothing.
    assert label(given, ["rate", "arrivals", "restart-after"]) == "closed loop"


def test_times_of_faults_are_said_only_where_nothing_else_tells_lines_apart():
    early, late, other = (options(delay=text) for text in ("3:1s@1-2", "3:1s@4-", "3:2s@4-"))
    assert line_names([early, other], ["delay"]) == [
        "messages from and to node 3 delayed by 1 s",
        "messages from and to node 3 delayed by 2 s",
    ]
    assert line_names([early, late], ["delay"]) == [
        "messages from and to node 3 delayed by 1 s from second 1 to 2",
        "messages from and to node 3 delayed by 1 s from second 4",
    ]
    # Two ways to write the same fault are two lines all the same.
    same = [options(delay=text) for text in ("1s", "1000ms")]
    assert line_names(same, ["delay"]) == ["delay = 1s", "delay = 1000ms"]
