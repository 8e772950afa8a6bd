"""What one process of `honeybadger search` finds, another one plays again."""

from support.nodes.cluster_harness import run_command

STALLED = ("search", "--part", "agreement", "--schedule", "coin-attack", "--agreement", "mmr14", "--allow-flawed")


def test_a_finding_replays_in_another_process(tmp_path):
    file = str(tmp_path / "found.json")
    every = ("--coin-schedule", "every-round", "--steps", "500", "--runs", "2", "--jobs", "2", "--out", file)
    found = run_command(*STALLED, *every)
    assert found.returncode == 1
    assert b"2 runs: 0 progressed, 2 stalled, 0 diverged" in found.stdout
    again = run_command("search", "--replay", file)
    assert again.returncode == 1 and again.stderr == b""
    assert again.stdout and again.stdout in found.stdout
