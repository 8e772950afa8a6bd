"""What a person may do on purpose but may not mean, and the line that says so; `tests/cli/test_attention_lines.py` has
the commands that show it."""

import pytest

from bench.plan.attentions import attentions
from bench.plan.build_run import run_of

MORE = "2 liars are more than the f = 1 that 4 nodes tolerate; ledgers may differ, or nothing may be committed"
MORE_OF_7 = MORE.replace("2 liars", "3 liars").replace("f = 1 that 4", "f = 2 that 7")
SILENT = (
    "2 silent nodes leave 2 of 4 nodes, but an epoch needs N-f = 3: nothing will be committed, and the run will fail"
)
NO_LEADER = "protocol honeybadger has no leader; delay leader:… strikes node 0 instead"
NEEDS = "but an epoch needs N-f = 3: nothing will be committed after it, and the run will fail"


@pytest.mark.parametrize(
    ("options", "lines"),
    [
        ({}, []),
        ({"byzantine": "1:silent", "crash": 0}, []),
        ({"nodes": 7, "byzantine": "1:bad-shards", "crash": 1}, []),
        ({"restart_all": True}, []),
        ({"restart": 1, "byzantine": "1:silent"}, []),
        ({"byzantine": "2:silent"}, [SILENT]),
        ({"byzantine": "2:silent", "crash": 1}, [SILENT]),
        ({"byzantine": "1:silent,1:replay"}, [MORE]),
        ({"nodes": 7, "byzantine": "1:silent,2:replay"}, [MORE_OF_7]),
        ({"byzantine": "1:replay,1:flood"}, [MORE]),
        (
            {"nodes": 3, "byzantine": "1:silent"},
            [
                "1 silent node leaves 2 of 3 nodes, but an epoch needs N-f = 3: nothing will be committed, and the run "
                "will fail"
            ],
        ),
        (
            {"nodes": 3, "byzantine": "1:replay"},
            ["1 liar is more than the f = 0 that 3 nodes tolerate; ledgers may differ, or nothing may be committed"],
        ),
        (
            {"protocol": "sequencer", "byzantine": "1:hoard"},
            ["protocol sequencer tolerates crashes but no liars; ledgers may differ, or nothing may be committed"],
        ),
        ({"crash": 2}, [f"the crash leaves 2 of 4 nodes (2 killed), {NEEDS}"]),
        ({"crash": 1, "byzantine": "1:silent"}, [f"the crash leaves 2 of 4 nodes (1 killed, 1 silent), {NEEDS}"]),
        (
            {"crash": 1, "byzantine": "1:replay"},
            ["1 crash and 1 liar together are more than f = 1; nothing may be committed after the crash"],
        ),
        ({"crash": 1, "byzantine": "2:replay"}, [MORE]),
        (
            {"restart": 1, "recovery": False},
            ["without recovery, a restarted node stays silent and may never catch up; the run may fail"],
        ),
        (
            {"restart": 1, "recovery": False, "byzantine": "1:silent"},
            [
                "without recovery, restarted nodes stay silent; this leaves 2 of 4 nodes (1 killed, 1 silent), but an "
                "epoch needs N-f = 3: nothing may be committed after it"
            ],
        ),
        ({"delay": "leader:2s"}, [NO_LEADER]),
        ({"delay": "3:2s; leader:1s@2-4; leader:2s@5-"}, [NO_LEADER]),
        ({"drop": "leader:0.1", "delay": "leader:1s"}, [NO_LEADER, NO_LEADER.replace("delay", "drop")]),
        ({"protocol": "pbft", "delay": "leader:2s"}, []),
        ({"delay": "0:2s"}, []),
    ],
)
def test_what_may_not_be_meant(options, lines):
    assert attentions(run_of(**options)) == lines


def test_each_line_is_said_once():
    assert attentions(*(run_of(delay="leader:1s", byzantine=liars) for liars in ("", "2:flood", "2:replay"))) == [
        NO_LEADER,
        MORE,
    ]
