"""What the commands accept: anything else ends in one `error:` line before anything is done."""

import sys

import pytest
from support.doc_blocks import save_vote_zero

import bench.run.single_run
from bench.plan.run_settings import RunSettings

#: what a run that is left out leaves on standard output
SUMMARY = '{\n  "valid": true,\n  "warnings": []\n}\n'


@pytest.fixture
def settings(monkeypatch):
    """What `honeybadger local` would run; the run itself is left out."""
    seen: list[RunSettings] = []

    class FakeRun:
        def __init__(self, settings: RunSettings, show: object, *, watch: bool) -> None:
            seen.append(settings)

        def run(self) -> dict[str, object]:
            return {"valid": True, "warnings": []}

    monkeypatch.setattr(bench.run.single_run, "SingleRun", FakeRun)
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
        ("nodes = {a = 1}", "nodes"),
        ("nodes = 2020-01-01", "nodes"),
        ("nodes = 4.5", "nodes = 4.5 is not a whole number of at least 1"),
        ('nodes = "4"', "nodes = '4' is not"),
        ("curve = 3", "curve = 3 is not true or false"),
        ("durability = 1", "durability = 1 is not one of fsync, os, memory"),
        ('durability = "hope"', "durability = 'hope' is not one of"),
        ("duration = nan", "duration"),
        ("duration = 0", "duration"),
        ('out = ""', "out"),
        ("as_json = true", "as_json is not an option of a run"),
        ("no-curve = true", "no-curve is not an option of a run"),
        ('config = "x"', "config is not an option of a run"),
        ("tx-size = 20\ntx_size = 20", "twice"),
        ("nodes = ", "not a valid TOML file"),
        ('protocol = "swift"', "swift"),
    ],
)
def test_a_wrong_config_is_one_line(run, tmp_path, settings, line, says):
    config = tmp_path / "run.toml"
    config.write_text(line + "\n")
    refused(run("local", "--config", config), says)
    assert not settings


def test_keys_and_variables_have_the_long_names_of_flags(run, tmp_path, monkeypatch, settings):
    config = tmp_path / "run.toml"
    config.write_text("json = true\nnodes = 7\ntx_size = 20\nduration = 6\ncurve = false\n")
    monkeypatch.setenv("HONEYBADGER_RESTART_ALL", "1")
    status, out, _ = run("local", "--config", config, "--tx-size", "30")
    assert (status, out) == (0, SUMMARY)
    (chosen,) = settings
    assert (chosen.nodes, chosen.tx_sizes.mean, chosen.restart_count, chosen.duration_s) == (7, 30, 7, 6.0)
    assert chosen.runtime.curve is False


def test_byzantine_nodes_are_the_last_ones(run, settings):
    run("local", "-n", 7, "--byzantine", "1:silent", "--byzantine", "1:replay, 1:flood", "--restart-all", "--json")
    (chosen,) = settings
    assert chosen.liars == {4: "silent", 5: "replay", 6: "flood"}
    assert chosen.correct == [0, 1, 2, 3] and chosen.restart_count == 4


@pytest.mark.parametrize("value", ["nan", "inf", "-1", "1e300"])
def test_a_schedule_starts_at_a_unix_time(run, value):
    needed = ("--cluster", "x", "--keys", "x", "--data", "x")
    refused(run("node", *needed, "--schedule-start", value), "--schedule-start")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "-1"])
@pytest.mark.parametrize("name", ["--rate", "--duration", "--warmup", "--restart-after"])
def test_numbers_are_finite(run, settings, name, value):
    refused(run("local", name, value), name)
    assert not settings


@pytest.mark.parametrize("value", ["nan", "inf", "0"])
@pytest.mark.parametrize("command", [("status",), ("submit", "-")])
def test_timeouts_are_finite(run, command, value):
    refused(run(*command, "--cluster", "x", "--timeout", value), "--timeout")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--batch-size", 0), "--batch-size '0' is not a whole number from 1 to 10,000,000"),
        (("--max-proposal-bytes", 100), "--max-proposal-bytes 100"),
        (("--max-proposal-bytes", "9" * 3000), "--max-proposal-bytes '999"),
        (("-n", "9" * 30), "at most 256 nodes"),
        (("--seed", "9" * 30), "--seed"),
        (("--out", ""), "--out"),
        (("--protocol", "x" * 5000), "unknown protocol"),
        (("--protocol", "\x1b[31m\nraft"), "[31m raft"),
        (("--restart", 5), "the cluster has only 4 correct nodes"),
        (("--restart", 4, "--byzantine", "1:silent"), "the cluster has only 3 correct nodes"),
        (("--restart", 1, "--crash", 1), "cannot be combined"),
        (("--restart-all", "--crash", 1), "cannot be combined"),
        (("--restart-rounds", 2), "needs --restart"),
        (("--restart-primary",), "protocol honeybadger has no leader"),
        (("--protocol", "pbft", "--encryption", "never"), "--encryption is for honeybadger, not for pbft"),
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
        (("--byzantine", ""), "empty"),
        (("--byzantine", "1:silent,"), "write K:STRATEGY"),
        (("--byzantine", "-1:silent"), "write K:STRATEGY"),
        (("--byzantine", "1:" + "x" * 5000), "--byzantine"),
        (("--byzantine", "1:\x1b[31m"), "write K:STRATEGY"),
        (("--byzantine", "4:silent"), "no correct one of 4"),
        (("--byzantine", "3:silent", "--byzantine", "1:replay"), "no correct one of 4"),
        (("--delay", "1s@5-;2s@11-", "--warmup", 1, "--duration", 10), "a delay fault would begin at 11 s"),
        (("--restart-after", 1), "--restart-after needs --restart"),
        (("--restart", 2, "--byzantine", "3:silent"), "the cluster has only 1 correct node"),
        (("--rate", 1e9), "--rate"),
        (("--rate", 1e6, "--duration", 1e6), "--rate 1e+06 for 1e+06 s: more than the 200,000,000 transactions"),
        (("--window", 1_000_001), "--window"),
        (("--window", 100_000, "--tx-size", 10_000), "--window"),
        (("--partition", "0>0"), "acts on no link"),
        (("--delay", "3>3:50ms"), "acts on no link"),
        (("-n", 1, "--drop", "0.5"), "acts on no link"),
        (("-n", 4, "-f", 2), "at most f = 1"),
        (("-n", 0), "of at least 1"),
        (("--tx-size", 100_000), "longest transaction"),
        (("--tx-size", 3), "at least 16 bytes"),
        (("--crash", 4), "would leave none"),
        (("--encryption", "sometimes"), "sometimes"),
        (("--pipeline-depth", 99), "--pipeline-depth 99 is above --epoch-window 8"),
        (("--config", "nowhere.toml"), "nowhere.toml"),
        (("--protocol", "pbft", "--byzantine", "1:bad-shards"), "pbft knows no strategy bad-shards; it has bad-cert"),
        (("--byzantine", "1:bad-shard"), ", my_module:ClassName; did you mean bad-shards?"),
        (("--byzantine", "1:no_such_module:X"), "--byzantine: there is no module no_such_module in "),
        (("--byzantine", "1:silent,1:json:Silent"), "json/__init__.py) has no class Silent"),
        (("--byzantine", "1:a:b:c"), "write K:STRATEGY, such as 1:silent or 1:my_module:ClassName"),
    ],
)
def test_local_checks_before_it_begins(run, settings, options, says):
    refused(run("local", *options), says)
    assert not settings


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("local", "--no-such-option"), "--no-such-option"),
        (("local", "--nodes", "many"), "'many'"),
        (("local", "--nodes", "9" * 5000), "99999"),
        (("keygen", "--out", ""), "--out"),
        (("submit", "-"), "--cluster"),
        (("nonsense",), "nonsense"),
        (("ledger", "nonsense"), "nonsense"),
        (("ledger", "show", "x", "--height", "9" * 23), "--height"),
    ],
)
def test_usage_errors_are_one_line_and_status_2(run, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    refused(result, says)
    assert result[0] == 2 and not list(tmp_path.iterdir())


def test_no_command_shows_the_overview(run):
    _, out, err = run()
    assert "Commands:" in out + err


NO_HOSTS = ["", "a b", " ", "h" * 256, "h" * 64, "a\nb", "a\n"]
NO_HOSTS += ["*", "10.0.0.1/24", "10.0.0.256", "10.0.1", "1234", "0.0.0.0", "::", "[::1]", "224.0.0.1", "ff02::1"]
NO_HOSTS += ["255.255.255.255", "http://a", "a:7100", "-a", "a-", "a..b", ".", "a,b", "ä", "tcp://*", "$HOME", "a@b"]
NO_HOSTS += ["fe80::1%eth0", "::1/64"]


@pytest.mark.parametrize("host", NO_HOSTS)
def test_keygen_refuses_a_host_that_is_none(run, tmp_path, host):
    refused(run("keygen", "--host", host, "--out", tmp_path / "c"), "is not a host name")
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("host", ["*", "10.0.0.1/24", "a:80", "224.0.0.1", "[::]", ""])
def test_http_cannot_listen_on_what_is_no_address(run, tmp_path, host):
    assert run("keygen", "-n", 1, "--out", tmp_path / "c")[0] == 0
    refused(run("watch", "--cluster", tmp_path / "c" / "cluster.toml", "--host", host), "--host")


@pytest.mark.parametrize(
    "host", ["localhost", "node-{i}", "a_1.B-2.example.", "10.0.0.1", "fe80::1", "::ffff:10.0.0.1"]
)
def test_keygen_takes_names_and_addresses(run, tmp_path, host):
    assert run("keygen", "--host", host, "--out", tmp_path / "c")[0] == 0


def test_the_help_says_which_strategies_fit_which_protocol_and_how_to_name_one_s_own(run):
    text = " ".join(run("local", "--help")[1].split()).replace("- ", "-")
    assert "Strategies: bad-certificates, drip-blocks, repeat, silent; with honeybadger also bad-coin-shares, " in text
    assert (
        "; with pbft also equivocate, vote-twice; " in text and "; a class of your own as my_module:ClassName." in text
    )


def test_a_strategy_in_a_file_of_the_current_directory_is_accepted(run, settings, monkeypatch, tmp_path):
    monkeypatch.chdir(save_vote_zero(tmp_path).parent)
    monkeypatch.setattr(sys, "path", [*sys.path])
    assert run("local", "--byzantine", "1:vote_zero:VoteZero", "--json")[0] == 0
    assert settings[0].liars == {3: "vote_zero:VoteZero"}


def test_a_node_refuses_a_strategy_that_it_cannot_follow(run, tmp_path):
    keys = tmp_path / "keys"
    assert run("keygen", "--protocol", "pbft", "--out", keys)[0] == 0
    node = ("--cluster", keys / "cluster.toml", "--keys", keys / "node-0" / "keys.toml", "--data", tmp_path / "data")
    refused(run("node", *node, "--byzantine", "flood"), "--byzantine: pbft knows no strategy flood; it has ")
