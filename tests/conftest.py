"""For all tests. "Scenario 22" in a comment or docstring is number 22 of docs/scenarios.md."""

from __future__ import annotations

import signal

# Tests that a script starts in the background ignore Ctrl-C, and so does all that they start. Some of them send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
