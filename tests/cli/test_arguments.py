"""What the commands accept: anything else ends in one `error:` line before anything is done."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import bench.local_run
from bench.settings import LocalSettings
from honeybadger.cli.main import main

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command in this process: status, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["honeybadger", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        out, err = capsys.readouterr()
        return int(caught.value.code or 0), out, err

    return run


#: what a run that is left out leaves on standard output
SUMMARY = '{\n  "valid": true,\n  "warnings": []\n}\n'


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> list[LocalSettings]:
    """What `honeybadger local` would run; the run itself is left out."""
    seen: list[LocalSettings] = []

    class FakeRun:
        def __init__(self, settings: LocalSettings, show: object) -> None:
            seen.append(settings)

        def run(self) -> dict[str, object]:
            return {"valid": True, "warnings": []}

    monkeypatch.setattr(bench.local_run, "LocalRun", FakeRun)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return seen


def refused(result: tuple[int, str, str], says: str) -> None:
    status, out, err = result
    assert status != 0 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert says in err
    assert len(err) < 400


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("nodes = [4]", "nodes = [4]"),
        ("nodes = {a = 1}", "nodes"),
        ("nodes = 2020-01-01", "nodes"),
        ("nodes = 4.5", "nodes = 4.5 is not of type integer"),
        ("nodes = true", "nodes = True"),
        ('nodes = "4"', "nodes = 4"),
        ("curve = 3", "curve = 3"),
        ('curve = "yes"', "curve = yes"),
        ('encryption = ["never"]', "encryption"),
        ("durability = 1", "durability = 1"),
        ('durability = "hope"', "durability: 'hope'"),
        ("duration = nan", "duration"),
        ("duration = 0", "duration"),
        ('out = ""', "out"),
        ("as_json = true", "unknown key as_json"),
        ("no-curve = true", "unknown key no-curve"),
        ('config = "x"', "unknown key config"),
        ("tx-size = 20\ntx_size = 20", "twice"),
        ("nodes = ", "not a valid TOML file"),
        ('protocol = "raft"', "raft"),
        (f"nodes = [{'7, ' * 1000}]", "nodes"),
    ],
)
def test_a_wrong_config_is_one_line(run: Run, tmp_path: Path, settings: list[object], line: str, says: str) -> None:
    config = tmp_path / "run.toml"
    config.write_text(line + "\n")
    refused(run("local", "--config", config), says)
    assert not settings


def test_keys_of_a_config_are_the_long_flag_names(run: Run, tmp_path: Path, settings: list[LocalSettings]) -> None:
    config = tmp_path / "run.toml"
    config.write_text("json = true\nnodes = 7\ntx_size = 20\nrestart-all = true\nduration = 6\ncurve = false\n")
    status, out, _ = run("local", "--config", config, "--tx-size", "30")
    assert (status, out) == (0, SUMMARY)
    (chosen,) = settings
    assert (chosen.nodes, chosen.tx_sizes.mean, chosen.restart, chosen.duration_s) == (7, 30, 7, 6.0)
    assert chosen.runtime.curve is False


def test_the_environment_uses_flag_names_too(
    run: Run, monkeypatch: pytest.MonkeyPatch, settings: list[LocalSettings]
) -> None:
    monkeypatch.setenv("HONEYBADGER_JSON", "1")
    monkeypatch.setenv("HONEYBADGER_RESTART_ALL", "1")
    assert run("local")[:2] == (0, SUMMARY)
    assert settings[0].restart == 4


def test_byzantine_nodes_are_the_last_ones(run: Run, settings: list[LocalSettings]) -> None:
    run("local", "-n", 7, "--byzantine", "1:silent", "--byzantine", "1:replay, 1:flood", "--restart-all", "--json")
    (chosen,) = settings
    assert chosen.byzantine == {4: "silent", 5: "replay", 6: "flood"}
    assert chosen.correct == [0, 1, 2, 3] and chosen.restart == 4


def test_more_liars_than_f_are_allowed_and_said(run: Run, settings: list[LocalSettings]) -> None:
    status, _, err = run("local", "--byzantine", "2:silent", "--json")
    assert status == 0 and err == "note: 2 liars, but the protocol tolerates f = 1\n"
    assert settings[0].byzantine == {2: "silent", 3: "silent"}


def test_several_of_a_kind_in_file_and_environment(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[LocalSettings]
) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'byzantine = "1:silent,1:replay"\npartition = "0|1@1-2;2|3@4-5"\nrestart_rounds = 2\nrestart = 1\n'
    )
    run("local", "--config", config, "--json")
    monkeypatch.setenv("HONEYBADGER_BYZANTINE", "1:flood,1:silent")
    monkeypatch.setenv("HONEYBADGER_PARTITION", "0|1@7-8;2|3@9-10")
    run("local", "--config", config, "--json")
    first, second = settings
    assert first.byzantine == {2: "silent", 3: "replay"} and first.restart_rounds == 2
    assert [fault.start_s for fault in first.link_faults] == [1.0, 4.0]
    assert second.byzantine == {2: "flood", 3: "silent"}
    assert [fault.start_s for fault in second.link_faults] == [7.0, 9.0]


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300"])
def test_a_schedule_starts_at_a_unix_time(run: Run, value: str) -> None:
    needed = ("--cluster", "x", "--keys", "x", "--data", "x")
    refused(run("node", *needed, "--schedule-start", value), "--schedule-start")
    refused(run("node", *needed, "--byzantine", "shout"), "the strategies are silent, ")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1"])
@pytest.mark.parametrize("name", ["--rate", "--duration", "--warmup", "--restart-after"])
def test_numbers_are_finite(run: Run, settings: list[object], name: str, value: str) -> None:
    refused(run("local", name, value), name)
    assert not settings


@pytest.mark.parametrize("value", ["nan", "inf", "0"])
@pytest.mark.parametrize("command", [("status",), ("submit", "-")])
def test_timeouts_are_finite(run: Run, command: tuple[str, ...], value: str) -> None:
    refused(run(*command, "--cluster", "x", "--timeout", value), "--timeout")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--batch-size", 0), "batch_size = 0"),
        (("--protocol", "raft"), 'unknown protocol "raft"'),
        (("--max-proposal-bytes", 100), "max_proposal_bytes = 100"),
        (("--max-proposal-bytes", "9" * 3000), "max_proposal_bytes = 999"),
        (("-n", "9" * 30), "too many"),
        (("--seed", "9" * 30), "--seed"),
        (("--out", ""), "--out"),
        (("--protocol", "x" * 5000), "unknown protocol"),
        (("--protocol", "\x1b[31m\nraft"), "[31m raft"),
        (("--restart", 5), "the cluster has only 4 correct nodes"),
        (("--restart", 4, "--byzantine", "1:silent"), "the cluster has only 3 correct nodes"),
        (("--restart", 1, "--crash", 1), "cannot be combined"),
        (("--restart-all", "--crash", 1), "cannot be combined"),
        (("--restart-rounds", 2), "needs --restart"),
        (("--restart-primary",), "protocol honeybadger has no primary"),
        (("--protocol", "pbft", "--restart-primary", "--restart", 1), "cannot be combined"),
        (("--protocol", "pbft", "--restart-primary", "--byzantine", "1:silent"), "cannot be combined"),
        (("--protocol", "pbft", "--restart-primary", "--crash", 1), "cannot be combined"),
        (("--restart", 1, "--restart-rounds", 0), "--restart-rounds"),
        (("--restart", 1, "--restart-rounds", 9, "--restart-after", 1), "rounds begin every"),
        (("--restart", 1, "--duration", 3), "after the measured 3 s"),
        (("--restart", 1, "--durability", "memory"), "forget its votes"),
        (("--crash", 3, "--byzantine", "1:silent"), "would leave none of 3"),
        (("--byzantine", "silent"), "write K:STRATEGY"),
        (("--byzantine", "0:silent"), "write K:STRATEGY"),
        (("--byzantine", ""), "write K:STRATEGY"),
        (("--byzantine", "1:silent,"), "write K:STRATEGY"),
        (("--byzantine", "-1:silent"), "write K:STRATEGY"),
        (("--byzantine", "1:" + "x" * 5000), "--byzantine"),
        (("--byzantine", "1:\x1b[31m"), "write K:STRATEGY"),
        (("--byzantine", "1:shout"), "the strategies are silent, "),
        (("--byzantine", "4:silent"), "no correct one of 4"),
        (("--byzantine", "3:silent,1:replay"), "no correct one of 4"),
        (("--byzantine", "3:silent", "--byzantine", "1:replay"), "no correct one of 4"),
        (("--partition", "0|9"), "names node 9"),
        (("--delay", "soon"), "--delay"),
        (("--delay", "1s@5-;2s@11-", "--warmup", 1, "--duration", 10), "a delay fault would begin at 11 s"),
        (("--restart-after", 1), "--restart-after needs --restart"),
        (("--restart", 2, "--byzantine", "3:silent"), "the cluster has only 1 correct node"),
        (("--rate", 1e9), "--rate"),
        (("--rate", 1e6, "--duration", 1e6), "1e+06 transactions per second for 1e+06 s are more than"),
        (("--window", 1_000_001), "--window"),
        (("--window", 100_000, "--tx-size", 10_000), "--window"),
        (("--partition", "0>0"), "strikes no link"),
        (("--delay", "3>3:50ms"), "strikes no link"),
        (("-n", 1, "--drop", "0.5"), "strikes no link"),
    ],
)
def test_local_checks_before_it_begins(run: Run, settings: list[object], options: tuple[str, ...], says: str) -> None:
    refused(run("local", *options), says)
    assert not settings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("local", "--no-such-option"), "--no-such-option"),
        (("local", "--nodes", "many"), "'many'"),
        (("local", "--nodes", "9" * 5000), "99999…"),
        (("local", "--durability", "hope"), "'fsync'"),
        (("submit", "-"), "--cluster"),
        (("nonsense",), "nonsense"),
        (("ledger", "nonsense"), "nonsense"),
        (("ledger", "show", "x", "--height", "9" * 23), "--height"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(run: Run, arguments: tuple[str, ...], says: str) -> None:
    result = run(*arguments)
    refused(result, says)
    assert result[0] == 2


def test_no_command_shows_the_overview(run: Run) -> None:
    _, out, err = run()
    assert "Commands:" in out + err


NO_HOSTS = [
    *(
        "",
        "a b",
        " ",
        "h" * 256,
        "h" * 64,
        "a\nb",
        "a\n",
        "*",
        "10.0.0.1/24",
        "10.0.0.256",
        "10.0.1",
        "1234",
        "0.0.0.0",
    ),
    *(
        "::",
        "[::1]",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
        "http://a",
        "a:7100",
        "-a",
        "a-",
        "a..b",
        ".",
        "a,b",
        "ä",
    ),
    *("tcp://*", "$HOME", "a@b", "fe80::1%eth0", "::1/64"),
]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_keygen_refuses_a_host_that_is_none(run: Run, tmp_path: Path, host: str) -> None:
    refused(run("keygen", "--host", host, "--out", tmp_path / "c"), "is not a host name")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("host", ["*", "10.0.0.1/24", "a:80", "224.0.0.1", "[::]", ""])
def test_http_cannot_listen_on_what_is_no_address(run: Run, tmp_path: Path, host: str) -> None:
    refused(run("keygen", "--http-host", host, "--out", tmp_path / "c"), "http_host")
    assert run("keygen", "--out", tmp_path / "c")[0] == 0
    files = ("--cluster", tmp_path / "c" / "cluster.toml", "--keys", tmp_path / "c" / "node-0" / "keys.toml")
    refused(run("node", *files, "--data", tmp_path / "d", "--http-host", host), "http_host")


@pytest.mark.parametrize(
    "host", ["localhost", "node-{i}", "a_1.B-2.example.", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1"]
)
def test_keygen_takes_names_and_addresses(run: Run, tmp_path: Path, host: str) -> None:
    assert run("keygen", "--host", host, "--http-host", "::", "--out", tmp_path / "c")[0] == 0


def test_keygen_wants_a_name_for_its_directory(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused(run("keygen", "--out", ""), "--out")
    assert not list(tmp_path.iterdir())
