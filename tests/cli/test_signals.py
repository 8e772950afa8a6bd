"""What ends a command, and what does not: dispositions that it inherits, and its place as the first process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import bench.run.single_run
from honeybadger.cli.main import main

ENDING = (signal.SIGTERM, signal.SIGHUP)
#: an import that never ends
SLOW = "import os, time\nos.write(1, b'importing')\ntime.sleep(600)\n"
FIRST_PROCESS = ("unshare", "--pid", "--fork", "--kill-child")


@contextmanager
def dispositions(kept: signal.Handlers) -> Iterator[None]:
    """As if this process had been started with these."""
    before = [signal.signal(number, kept) for number in ENDING]
    try:
        yield
    finally:
        for number, handler in zip(ENDING, before, strict=True):
            signal.signal(number, handler)


@pytest.mark.parametrize("inherited", [signal.SIG_IGN, signal.SIG_DFL])
@pytest.mark.parametrize("command", ["local", "bench run"])
def test_what_was_ignored_stays_ignored(tmp_path, monkeypatch, command, inherited):
    """`nohup` lets a long run go on when its terminal is closed; without it, the nodes end with the command."""
    seen = []

    class Run:
        def __init__(self, *_: object, **__: object) -> None: ...

        def run(self) -> None:
            seen.extend(signal.getsignal(number) for number in ENDING)
            raise KeyboardInterrupt

    monkeypatch.setattr(bench.run.single_run, "SingleRun", Run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.toml").write_text("nodes = 1\n")
    monkeypatch.setattr(sys, "argv", ["honeybadger", *command.split(), *(["m.toml"] if "bench" in command else [])])
    with dispositions(inherited), pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 130
    assert seen == [signal.SIG_IGN if inherited == signal.SIG_IGN else signal.default_int_handler] * 2


def test_the_first_process_ends_at_sigterm_while_it_still_imports(tmp_path):
    """In a container, where the kernel drops a signal that its first process does not handle."""
    if subprocess.run([*FIRST_PROCESS, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no right to make a process-id namespace: run as root")
    (tmp_path / "click.py").write_text(SLOW)
    process = subprocess.Popen(
        [*FIRST_PROCESS, sys.executable, "-m", "honeybadger.cli.main", "node"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None and process.stdout.read(9) == b"importing"
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(60) == 128 + signal.SIGTERM
    finally:
        process.kill()
        process.communicate()
