"""Standard streams: any encoding, closed, full, or with nobody at the other end. No command ends in a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.processes import free_ports
from honeybadger.console.streams import _Lossy
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

#: interpreters whose standard output takes ASCII or Latin-1 only
ENCODINGS = [
    pytest.param({"PYTHONIOENCODING": "latin-1"}, marks=pytest.mark.soak),
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]
#: keygen and status with these arguments, and the help of every command
ALL_KINDS_OF_OUTPUT = """
import click
from honeybadger.cli.main import cli, main
import sys
def commands(command, path):
    yield path
    if isinstance(command, click.Group):
        for name in command.list_commands(None):
            yield from commands(command.get_command(None, name), (*path, name))
out, manifest = sys.argv[1:]
lines = [("keygen", "-n", "1", "--out", out), ("status", "--cluster", manifest, "--timeout", "0.1")]
for line in [*lines, *((*path, "--help") for path in commands(cli, ()))]:
    sys.argv = ["honeybadger", *line]
    try:
        main()
    except SystemExit as end:
        # Of a cluster that does not run, the status is 1.
        if end.code != (line[0] == "status" and line[-1] != "--help"):
            raise
"""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory) -> Path:
    """Of a cluster that does not run."""
    directory = tmp_path_factory.mktemp("streams")
    ports = free_ports(4)
    write_cluster(
        directory, *make_cluster(2, 0, HoneyBadgerParameters(), [("127.0.0.1", *ports[:2]), ("127.0.0.1", *ports[2:])])
    )
    return directory / "cluster.toml"


def shell(redirected: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """`honeybadger …` with its streams redirected as a shell does it."""
    command = (sys.executable, "-m", "honeybadger.cli.main", *map(str, arguments))
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", *command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env={**os.environ, **environment},
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("environment", ENCODINGS, ids=" ".join)
def test_any_encoding_will_do(tmp_path, manifest, environment):
    done = subprocess.run(
        [sys.executable, "-c", ALL_KINDS_OF_OUTPUT, tmp_path / "c", manifest],
        env={**os.environ, **environment},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0 and b"Traceback" not in done.stderr, done.stderr.decode("latin-1")
    assert b"N = 1, f = 0" in done.stdout and b"no answer" in done.stdout and done.stdout.count(b"Usage: ") > 20


@pytest.mark.processes
def test_json_is_nothing_else_and_in_utf_8():
    """A closed standard error is not replaced by standard output; an encoding is for texts, and for this process."""
    options = ("local", "-n", 1, "--duration", 0.2, "--warmup", 0, "--rate", 20, "--json")
    done = shell("2>&-", *options, PYTHONIOENCODING="utf-16")
    assert json.loads(done.stdout)["nodes"] == 1


@pytest.mark.parametrize(
    "redirected", [">&-", "<&- >&- 2>&-", *(pytest.param(closed, marks=pytest.mark.soak) for closed in ("2>&-", "<&-"))]
)
def test_closed_streams_are_no_trouble(tmp_path, manifest, redirected):
    submitted = shell(redirected, "submit", "--cluster", manifest, "--timeout", 0.1, "-")
    assert submitted.returncode == 0 and b"Traceback" not in submitted.stderr
    made = shell(redirected, "keygen", "-n", 1, "--out", tmp_path / "c")
    assert (made.returncode, made.stderr) == (0, b"")


@pytest.mark.parametrize(
    "arguments", [pytest.param(("local", "--help"), marks=pytest.mark.soak), ("status", "--json"), ("status",)]
)
def test_a_reader_that_has_enough_is_no_error(manifest, arguments):
    options = ("--cluster", manifest, "--timeout", 0.1) if arguments[0] == "status" else ()
    done = shell("| head -c 1; exit ${PIPESTATUS[0]}", *arguments, *options)
    assert done.stderr == b"" and len(done.stdout) == 1


def test_output_that_does_not_fit_is_one_line(manifest):
    done = shell(">/dev/full", "status", "--cluster", manifest, "--timeout", 0.1)
    assert done.returncode == 1
    assert done.stderr == b"error: [Errno 28] No space left on device\n"


@pytest.mark.parametrize("path", ["/dev/full", "terminal", "pipe"])
def test_a_line_for_people_that_cannot_be_written_is_lost(path):
    """The disk is full; the terminal was closed; the reader has gone."""
    if path == "/dev/full":
        descriptor = os.open(path, os.O_WRONLY)
    else:
        other, descriptor = os.openpty() if path == "terminal" else os.pipe()
        os.close(other)
    try:
        with pytest.raises(OSError):
            os.write(descriptor, b"a line")
        assert _Lossy(descriptor).write(b"a line") == 6
    finally:
        os.close(descriptor)


def test_a_line_for_people_is_lost_rather_than_waited_with():
    """A pipe that nobody empties, or a terminal that was stopped, does not stop a node."""
    for reading, writing in (os.pipe(), os.openpty()):
        stream = _Lossy(writing)
        stream.never_wait()
        for _ in range(100):
            assert stream.write(b"x" * 5000) == 5000
        os.close(reading)
        os.close(writing)
