"""`bench run --hosts`: real SSH servers in network namespaces with addresses of their own."""

import gzip
import itertools
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import tomli_w
from support.nodes.cluster_harness import background_command, one_line_error, run_command, wait_until
from support.nodes.ssh_hosts import SshHosts, ip, why_not

from bench.places.hosts.deploy import Wheels
from bench.places.hosts.hosts_place import HostsPlace
from bench.places.hosts.inventory import Inventory
from crypto.suites import installed_suites
from honeybadger.cluster.errors import ClusterError

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]

#: the last one that is installed: what it was compiled from must reach the hosts too
SUITE = installed_suites()[-1].name
MANIFEST = "duration = 2\nwarmup = 0.5\nbatch-size = 100\nrate = 200\n"


@pytest.fixture(scope="module")
def hosts(tmp_path_factory):
    if reason := why_not():
        pytest.skip(reason)
    with SshHosts(tmp_path_factory.mktemp("hosts"), 4) as found:
        yield found


@pytest.fixture(scope="module")
def wheels(tmp_path_factory) -> Path:
    """Made once: the project's wheel and all that it needs, for this machine."""
    folder, scratch = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("scratch")
    facts = {
        "python": platform.python_version(),
        "glibc": platform.libc_ver()[1],
        "architecture": platform.machine(),
    }
    for wheel in Wheels(None, scratch).for_host(facts):
        shutil.copy(wheel, folder)
    return folder


@pytest.fixture
def command(hosts, tmp_path):
    """Arguments of a run on these hosts; changes as in `SshHosts.inventory`."""

    def command(manifest=MANIFEST, **changes) -> list[str]:
        (tmp_path / "m.toml").write_text(manifest)
        inventory = hosts.inventory(tmp_path / "hosts.toml", **changes)
        options = ["--out", str(tmp_path / "out"), "--known-hosts", str(hosts.known_hosts), "--hosts", str(inventory)]
        return ["bench", "run", str(tmp_path / "m.toml"), *options]

    return command


def await_run(process, condition) -> None:
    """Until the command has come so far; fails with its words if it ends before."""

    def there() -> bool:
        assert process.poll() is None, process.communicate()
        return condition()

    wait_until(there, 120)


def nothing_is_left(hosts) -> bool:
    return not any(hosts.left(number) or hosts.pythons(number) for number in range(hosts.count))


def test_a_run_on_four_hosts_and_one_that_loses_a_host(hosts, wheels, command, tmp_path):
    """One command, two runs. In the first a node dies and comes back beside a liar: together they are more than f for a
    while. In the second the network of a host goes for good."""
    arguments = command(
        f"warmup = 0.5\nbatch-size = 100\nrate = 200\nsuite = '{SUITE}'\n"
        "[[series]]\nduration = 6\nrestart = 1\nrestart-after = 1\nbyzantine = '1:bad-shards'\n"
        "[[series]]\nduration = 10\n",
        top={"lost-after": 8.0, "base-port": 7100},
    )
    out = tmp_path / "out"
    with background_command(*arguments, "--wheels", str(wheels), "--keep") as process:
        try:
            second = "runs/*.partial/raw/node-3/events.jsonl"
            await_run(process, lambda: len(done(out)) == 1 and any(heights(path) > 3 for path in out.glob(second)))
            hosts.cut(3)
            stdout, stderr = process.communicate(timeout=120)
        finally:
            hosts.mend(3)
    assert process.returncode == 1, stderr.decode()
    assert "2 runs in" in stdout.decode() and "1 of them invalid" in stdout.decode(), stderr.decode()
    assert "Traceback" not in stderr.decode()
    good, bad = sorted(done(out), key=lambda path: json.loads((path / "summary.json").read_text())["duration_s"])

    summary = json.loads((good / "summary.json").read_text())
    assert summary["valid"] and summary["committed_tx"] > 0 and summary["ledger"]["agree"]
    assert summary["suite"] == SUITE
    assert summary["committed_tx_after_crash"] > 0
    (restart,) = summary["restarts"]
    assert restart["recovery_s"] > 0 and restart["node"] != 3
    assert {fault["node"] for fault in summary["faults_recorded"]} == {3}, "only the liar is accused"
    assert all(row["cpu_s"] > 0 and row["sent_bytes"] > 0 for row in summary["per_node"])
    assert [host["nodes"] for host in summary["hosts"]] == [[0], [1], [2], [3]]
    for host in summary["hosts"]:
        assert abs(host["clock"]["offset_s"]) <= host["clock"]["round_trip_s"], "it is the same clock"
        assert host["versions"]["honeybadger"] == summary["versions"]["honeybadger"] and host["lost"] == ""
    names = ("seconds.csv", "epochs.csv", "latency.csv", "machine.json", "run.toml")
    assert all((good / name).stat().st_size for name in names)
    assert tomllib.loads((good / "run.toml").read_text())["batch-size"] == 100
    with gzip.open(good / "events.jsonl.gz") as file:
        assert {json.loads(line)["from"] for line in file} == {0, 1, 2, 3}
    assert run_command("bench", "report", str(good)).returncode == 0
    assert run_command("bench", "compare", str(good), str(good)).returncode == 0

    mixed = one_line_error(run_command("bench", "run", str(tmp_path / "m.toml"), "--out", str(out)))
    assert mixed == f"error: {out} holds runs made with hosts, not with processes; choose another --out"

    summary = json.loads((bad / "summary.json").read_text())
    assert summary["reason"].startswith("host h3 (node 3) was lost: not a word for"), summary["reason"]
    assert summary["ledger"]["agree"] and summary["ledger"]["height"] > 3 and summary["committed_tx"] > 0
    assert [host["lost"] != "" for host in summary["hosts"]] == [False, False, False, True]
    assert "host h3: not a word for" in stderr.decode()

    # The agent of the lost host found out by itself; --keep kept the directories.
    wait_until(lambda: not any(hosts.pythons(number) for number in range(4)), 30)
    assert all(len(hosts.left(number)) == 1 for number in range(4))
    secrets_stay_at_home(hosts, [out / "runs" / run.name / "raw" for run in (good, bad)])
    for number in range(4):
        shutil.rmtree(hosts.left(number)[0])


def summaries_of(command, wheels, tmp_path, manifest: str) -> list[dict]:
    """Of the runs of an experiment that must all be valid, in order of their names in the manifest."""
    result = run_command(*command(manifest), "--wheels", str(wheels), timeout=500)
    assert result.returncode == 0, result.stderr.decode()
    assert "Traceback" not in result.stderr.decode()
    return [json.loads((path / "summary.json").read_text()) for path in done(tmp_path / "out")]


@pytest.mark.soak
def test_every_fault_on_hosts(hosts, wheels, command, tmp_path):
    """One experiment with a run for each."""
    faults = [
        "crash = 1",
        "restart-all = true",
        "restart = 1\nrestart-rounds = 2",
        "byzantine = '1:equivocate-votes'",
        "partition = '3@2-5'",
        "delay = '20ms~5ms'",
        "protocol = 'pbft'\nview-timeout = 1.5\nrestart-primary = true",
    ]
    series = "".join(f"[[series]]\n{fault}\n" for fault in faults)
    top = "duration = 8\nwarmup = 0.5\nbatch-size = 100\nrate = 200\n"
    found = summaries_of(command, wheels, tmp_path, top + series)
    assert len(found) == len(faults) and all(summary["valid"] for summary in found)
    assert nothing_is_left(hosts)


def done(out: Path) -> list[Path]:
    return [path.parent for path in out.glob("runs/*/summary.json") if ".partial" not in str(path)]


def heights(events: Path) -> int:
    return events.read_text().count('"block"') if events.exists() else 0


def secrets_stay_at_home(hosts, runs: list[Path]) -> None:
    """Every secret of a node is on its own host, in a file that only its owner can read, and on no other."""
    places = [hosts.directory(number) / "place" for number in range(hosts.count)]
    for run, node in itertools.product(runs, range(4)):
        keys = tomllib.loads((run / f"node-{node}" / "keys.toml").read_text())
        for secret in (keys["curve_secret_key"], keys["signing_secret_key"], *keys["shares"].values()):
            # With -e, for some keys begin with a hyphen.
            grep = ("grep", "-rlaF", "--exclude-dir=venv", "--exclude-dir=wheels", "-e", secret, *places)
            found = subprocess.run(grep, capture_output=True, text=True, check=False)
            (path,) = map(Path, found.stdout.splitlines())
            assert path.name == "keys.toml" and hosts.left(node)[0] in path.parents
            assert path.stat().st_mode & 0o077 == 0


@pytest.mark.soak
def test_an_interrupt_leaves_nothing_behind(hosts, wheels, command, tmp_path):
    """With two nodes on each of two hosts."""
    arguments = command("duration = 60\nbatch-size = 100\nrate = 200\n")
    inventory = tmp_path / "hosts.toml"
    inventory.write_text(tomli_w.dumps({"hosts": tomllib.loads(inventory.read_text())["hosts"][:2]}))
    with background_command(*arguments, "--wheels", str(wheels), start_new_session=True) as process:
        events = "out/runs/*/raw/node-3/events.jsonl"
        await_run(process, lambda: any(heights(path) for path in tmp_path.glob(events)))
        # An agent and two nodes.
        assert [len(hosts.pythons(number)) for number in range(4)] == [3, 3, 0, 0]
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stderr.decode().endswith("interrupted\n"), stderr.decode()
    assert "Traceback" not in stderr.decode()
    wait_until(lambda: nothing_is_left(hosts), 10)


def test_what_is_wrong_with_a_host_is_one_line(hosts, command, tmp_path):
    """As a user sees it, before anything is deployed."""
    stranger = tmp_path / "stranger"
    SshHosts._keygen(stranger)
    listener = [sys.executable, "-u", "-m", "http.server", "7301", "--bind", hosts.address(1)]
    with subprocess.Popen(["ip", "netns", "exec", hosts.namespace(1), *listener], stdout=subprocess.PIPE) as busy:
        try:
            assert busy.stdout is not None and busy.stdout.readline().startswith(b"Serving")
            used = one_line_error(run_command(*command(top={"base-port": 7300})))
        finally:
            busy.kill()
    assert used == f"error: host h1: port 7301 on {hosts.address(1)} cannot be used: Address already in use"
    wrong_key = one_line_error(run_command(*command(h2={"key": str(stranger)})))
    assert wrong_key == f"error: host h2: {hosts.address(2)} port 22 refuses the key {stranger} of user root"
    no_python = one_line_error(run_command(*command(h1={"python": "/nowhere/python3"})))
    assert no_python.startswith("error: host h1: /nowhere/python3 does not run (Python 3.11 or newer is needed): ")
    wait_until(lambda: nothing_is_left(hosts), 10)


@pytest.fixture
def complaint(hosts, tmp_path):
    """What preparing these hosts, changed as in `SshHosts.inventory`, ends with; and the lines before that."""

    def complaint(known_hosts=hosts.known_hosts, **changes) -> tuple[str, list[str]]:
        lines: list[str] = []
        inventory = Inventory.load(hosts.inventory(tmp_path / "hosts.toml", **changes))
        with (
            pytest.raises(ClusterError) as caught,
            HostsPlace(inventory, known_hosts, None, False, lines.append) as place,
        ):
            place.prepare(4, None)
        return str(caught.value), lines

    return complaint


def test_more_that_can_be_wrong_with_a_host(hosts, complaint, tmp_path):
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\necho Python 3.9 is too old >&2; exit 1\n")
    old.chmod(0o755)
    for host, key, value, words in (
        ("h2", "key", "/nowhere/key", "the key /nowhere/key cannot be used: No such file or directory"),
        ("h1", "python", str(old), f"{old} does not run (Python 3.11 or newer is needed): Python 3.9 is too old"),
        ("h0", "port", 2222, f"{hosts.address(0)} port 2222 cannot be reached: Connection refused"),
        ("h3", "address", "192.0.2.1", "address 192.0.2.1 cannot be used: Cannot assign requested address"),
    ):
        assert complaint(**{host: {key: value}})[0] == f"host {host}: {words}"
    said, _ = complaint(h3={"directory": "/proc/nowhere"})
    assert said.startswith("host h3: ") and "/proc/nowhere" in said
    wait_until(lambda: nothing_is_left(hosts), 10)


def test_a_host_key_that_is_not_known_is_refused(hosts, complaint, tmp_path):
    """Neither an unknown one nor a changed one is ever taken."""
    nobody = tmp_path / "known_hosts"
    nobody.write_text("")
    said, lines = complaint(known_hosts=nobody)
    assert said == "4 of 4 hosts are not ready"
    assert f"host h3: {hosts.address(3)} port 22 shows a host key that {nobody} does not list for it" in lines
    changed = hosts.known_hosts.read_text().splitlines()
    changed[1] = f"{hosts.address(1)} {changed[2].split(' ', 1)[1]}"
    nobody.write_text("\n".join(changed) + "\n")
    said, _ = complaint(known_hosts=nobody)
    assert said == f"host h1: {hosts.address(1)} port 22 shows a host key that {nobody} does not list for it"
    assert nobody.read_text() == "\n".join(changed) + "\n", "nothing is added to it"


def test_hosts_that_cannot_reach_each_other_are_named(hosts, complaint):
    ip("-n", hosts.namespace(0), "route", "add", "blackhole", f"{hosts.address(2)}/32")
    try:
        said, lines = complaint(top={"base-port": 7300})
    finally:
        ip("-n", hosts.namespace(0), "route", "del", "blackhole", f"{hosts.address(2)}/32")
    # Neither reaches the other: no answer comes back.
    assert said == "2 of 4 hosts are not ready"
    for one, other in ((0, 2), (2, 0)):
        start = f"host h{one}: cannot reach host h{other} at {hosts.address(other)} port 7300: "
        assert any(line.startswith(start) for line in lines), lines


def test_without_the_extra_the_line_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    (tmp_path / "asyncssh.py").write_text("raise ImportError('not here')\n")
    (tmp_path / "m.toml").write_text(MANIFEST)
    (tmp_path / "hosts.toml").write_text('[[hosts]]\nname = "a"\nssh = "127.0.0.1"\n')
    place = ("--hosts", str(tmp_path / "hosts.toml"), "--out", str(tmp_path / "out"))
    result = run_command("bench", "run", str(tmp_path / "m.toml"), *place)
    assert "pip install -e '.[cluster]'" in one_line_error(result) and not (tmp_path / "out").exists()
