"""The watcher lets nodes on its machine go first, and slows down nothing else."""

import json
import subprocess
import sys

from honeybadger.watch.server import NICE

CODE = """
import json, os
from pathlib import Path
from honeybadger.watch.server import give_way

def group():  # Empty where a process is in no such group; without the file where the system has none.
    path = Path("/proc/self/autogroup")
    return path.read_text().split()[-1:] if path.exists() else []

before, nice = group(), os.nice(0)
give_way()
print(json.dumps([os.nice(0) - nice, before, group()]))
"""


def before_and_after_giving_way(own_session: bool) -> tuple[int, list[str], list[str]]:
    """By how much the process became nicer, and how nice its session's group was and is."""
    run = [sys.executable, "-c", CODE]
    nicer, before, after = json.loads(subprocess.check_output(run, text=True, start_new_session=own_session))
    return nicer, before, after


def test_a_session_of_its_own_gets_lower_priority() -> None:
    nicer, before, after = before_and_after_giving_way(own_session=True)
    assert nicer == NICE
    assert after == [str(NICE)] * len(before)


def test_a_session_of_others_keeps_its_priority() -> None:
    nicer, before, after = before_and_after_giving_way(own_session=False)
    assert nicer == NICE
    assert after == before
