"""The grammar of the fault options: what each value means, and nonsense."""

from typing import Any

import pytest

from bench.plan.build_run import run_of
from bench.plan.link_faults import parse
from honeybadger.cluster.errors import ClusterError
from honeybadger.network.fault_schedule import LinkFault

ONE_WAY = {"kind": "one-way"}
ENDS = ("senders", "receivers")
#: option, text, and the fields of each fault that it means; its kind is the option's if nothing else is said
MEANINGS: list[tuple[str, str, list[dict[str, Any]]]] = [
    ("partition", "0,1|2,3@5-10", [{"groups": ((0, 1), (2, 3)), "start_s": 5.0, "end_s": 10.0}]),
    ("partition", "3", [{"groups": ((3,),)}]),
    ("partition", " 0 , 1 | 2 @ 5 - ", [{"groups": ((0, 1), (2,)), "start_s": 5.0}]),
    ("partition", "0>1,2@5.5-10", [{**ONE_WAY, "senders": (0,), "receivers": (1, 2), "start_s": 5.5, "end_s": 10.0}]),
    ("partition", "0>*", [{**ONE_WAY, "senders": (0,)}]),
    ("partition", "*>0", [{**ONE_WAY, "receivers": (0,)}]),
    ("delay", "100ms", [{"delay_s": 0.1}]),
    ("delay", "0.1s~20ms", [{"delay_s": 0.1, "jitter_s": 0.02}]),
    ("delay", "3:50ms@5-10", [{"delay_s": 0.05, end: (3,), "start_s": 5.0, "end_s": 10.0} for end in ENDS]),
    ("delay", "leader:2s@9-17", [{"delay_s": 2.0, "leader": True, "start_s": 9.0, "end_s": 17.0}]),
    ("drop", "leader:0.5", [{"probability": 0.5, "leader": True}]),
    ("delay", "0>1:50ms", [{"delay_s": 0.05, "senders": (0,), "receivers": (1,)}]),
    ("bandwidth", "2,3:1MB", [{"bytes_per_s": 1e6, end: (2, 3)} for end in ENDS]),
    ("bandwidth", "2.5kB/s@0-1", [{"bytes_per_s": 2500.0, "end_s": 1.0}]),
    ("drop", "0.01", [{"probability": 0.01}]),
    ("drop", "3:1e-3@2-4", [{"probability": 0.001, end: (3,), "start_s": 2.0, "end_s": 4.0} for end in ENDS]),
    ("drop", "0.1;0.2; 0.3", [{"probability": 0.1}, {"probability": 0.2}, {"probability": 0.3}]),
    ("drop", "", []),
    ("reset", "500ms", [{"every_s": 0.5}]),
    ("reset", "0>1:2s", [{"every_s": 2.0, "senders": (0,), "receivers": (1,)}]),
    ("slow", "3:20ms@5-10", [{"every_s": 0.02, "receivers": (3,), "start_s": 5.0, "end_s": 10.0}]),
    ("slow", "20ms", [{"every_s": 0.02}]),
]


@pytest.mark.parametrize(("name", "text", "means"), MEANINGS)
def test_what_a_value_means(name, text, means):
    assert parse(name, text, 4) == [LinkFault(**{"kind": name, **fields}) for fields in means]


def test_kinds_combine():
    settings = run_of(slow="1s", partition="0", delay="1s")
    assert [fault.kind for fault in settings.link_faults] == ["partition", "delay", "slow"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("partition", "0,1|", "is not a node"),
        ("partition", "0,1|1", "groups names a node twice"),
        ("partition", "0|7", "node 7: the last of 4 nodes is 3"),
        ("partition", "0,1,2,3", "all nodes in one"),
        ("partition", "0>4", "node 4: the last of 4 nodes is 3"),
        ("partition", "*>*", "needs senders or receivers"),
        ("partition", "0>1>2", "is not a node"),
        ("partition", "0>1|2", "is not a node"),
        ("partition", "0:100ms", "is not a node"),
        ("partition", "0@10-5", "end_s = 5.0 is not after"),
        ("partition", "0@5", '"@5" is not a time'),
        ("partition", "0@", '"@" is not a time'),
        ("partition", "0@5-6@7-8", "is not a time"),
        ("partition", "0@-5-6", "is not a time"),
        ("partition", "0@nan-", "is not a time"),
        ("partition", "0@1e10-", "start_s"),
        ("partition", "0;", "is not a node"),
        ("partition", "٣", "is not a node"),
        ("delay", "100", "units us, ms, s"),
        ("delay", "100min", "units us, ms, s"),
        ("delay", "-1ms", "units us, ms, s"),
        ("delay", "0ms", "too small"),
        ("delay", "1e999s", "too large"),
        ("delay", "9" * 400 + "s", "too large"),
        ("delay", "1e10s", "delay_s"),
        ("delay", "100ms~", "units us, ms, s"),
        ("delay", "100ms~200ms", "jitter_s"),
        ("delay", "1s~1ms~1ms", "more than one jitter"),
        ("delay", "4:1s", "node 4: the last of 4 nodes is 3"),
        ("delay", ":1s", "is not a node"),
        ("reset", "leader:1s", "leader has no meaning"),
        ("slow", "leader:1s", "is not a node"),
        ("delay", "1:2:1s", "is not a node"),
        ("delay", "0|1:1s", "is not a node"),
        ("bandwidth", "1", "units B, kB, MB, GB"),
        ("bandwidth", "1Mb", "units B, kB, MB, GB"),
        ("bandwidth", "0MB", "too small"),
        ("drop", "0", "probability is missing or zero"),
        ("drop", "1.5", "probability = 1.5"),
        ("drop", "1%", "is not a number"),
        ("drop", "nan", "is not a number"),
        ("reset", "1us", "every_s"),
        ("slow", "0>1:20ms", "is not a node"),
        ("slow", "1,1:20ms", "receivers names a node twice"),
    ],
)
def test_nonsense_is_one_line(name, text, says):
    with pytest.raises(ClusterError) as caught:
        run_of(**{name: text})
    said = str(caught.value)
    assert said.startswith(f"{name}: ") and says in said and "\n" not in said
