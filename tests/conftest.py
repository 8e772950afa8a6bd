"""For all tests. "Scenario 22" in a comment or docstring is number 22 of docs/scenarios.md."""

import os
import signal
from collections import defaultdict

import pytest
from hypothesis import settings

# No clock decides a test; by default an example may take 200 ms.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# As the `honeybadger` command does for its processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Tests that a script starts in the background ignore Ctrl-C, and so does all that they start. Some of them send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what skipped tests need, a line for each remedy: the reason of a skip is "what is missing: remedy"."""
    remedies = defaultdict(list)
    for report in terminalreporter.stats.get("skipped", []):
        missing, _, remedy = report.longrepr[2].removeprefix("Skipped: ").rpartition(": ")
        remedies[remedy].append(missing)
    for remedy, missing in sorted(remedies.items()):
        terminalreporter.write_line(f"skipped {len(missing)}, {' and '.join(sorted(set(missing)))}: {remedy}")
