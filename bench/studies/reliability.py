"""Tries one fault after the other with `honeybadger local` and writes the table of `docs/reliability.md`.

    python -m bench.studies.reliability docs/reliability.md [--only WORD]

It replaces only the table between the two markers; with `--only`, only matching rows. A row says what was expected
before the run: "valid", or, where too many nodes are faulty to go on, the words with which the run must be refused.
"""

import argparse
import json
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from honeybadger.adversary import EXPECTED_FAULTS
from honeybadger.console import streams
from honeybadger.wording import counted

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
TIMEOUT_S = 900


@dataclass(frozen=True)
class Trial:
    """A fault, the options of `honeybadger local` that make it, and the reason that must make it invalid, if any."""

    fault: str
    options: str
    refused: str = ""


SHORT = "--batch-size 1000 --duration 10"
TRIALS = [
    Trial("none", SHORT),
    Trial("1 of 4 killed for good", f"{SHORT} --crash 1"),
    Trial("2 of 4 killed for good (more than f)", f"{SHORT} --crash 2", "nothing was committed after the crash"),
    Trial("2 of 7 killed for good", f"-n 7 {SHORT} --crash 2"),
    Trial("1 of 4 killed, comes back", f"{SHORT} --restart 1"),
    Trial("2 of 4 killed (more than f), come back", f"{SHORT} --restart 2"),
    Trial("all 4 killed, come back", f"{SHORT} --restart-all"),
    Trial("all 4 killed, come back, 3 times", "--batch-size 1000 --duration 40 --restart-all --restart-rounds 3"),
    Trial("2 of 7 killed, come back", f"-n 7 {SHORT} --restart 2"),
    Trial("20 random kills, N = 4", "--batch-size 1000 --duration 200 --restart 1 --restart-rounds 20"),
    Trial("20 random kills, N = 7", "-n 7 --batch-size 1000 --duration 240 --restart 1 --restart-rounds 20"),
    Trial(
        "10 successive primaries killed, PBFT, N = 7",
        "-n 7 --protocol pbft --view-timeout 1.5 --batch-size 1000 --duration 120"
        " --restart-primary --restart-rounds 10",
    ),
    Trial("down for 30 s at full load", "--batch-size 40000 --duration 140 --restart 1 --restart-after 30"),
    Trial("1 of 4 cut off for 5 s", f"{SHORT} --partition 3@3-8"),
    Trial("2 against 2 for 3 s", f'{SHORT} --partition "0,1|2,3@4-7"'),
    Trial("2 of 7 cut off for 5 s", f"-n 7 {SHORT} --partition 5,6@3-8"),
    Trial("node 3 hears, but is not heard, for 5 s", f'{SHORT} --partition "3>*@3-8"'),
    Trial("node 3 is heard, but hears nothing, for 5 s", f'{SHORT} --partition "*>3@3-8"'),
    Trial("cut off, and meanwhile another dies and returns", f"{SHORT} --partition 3@3-9 --restart 1"),
    Trial("all links 50 ms ± 20 ms", f"{SHORT} --delay 50ms~20ms"),
    Trial("all links of node 0 500 ms", f"{SHORT} --delay 0:500ms"),
    Trial("node 3 has 100 kB/s", f"{SHORT} --bandwidth 3:100kB@3-8"),
    Trial("1 % of messages break their connection", f"{SHORT} --drop 0.01"),
    Trial("every connection reset each 0.5 s", f"{SHORT} --reset 500ms"),
    Trial("node 3 takes one message per 50 ms", f"{SHORT} --slow 3:50ms@3-8"),
    *[Trial(f"1 of 4: {name}", f"{SHORT} --byzantine 1:{name}") for name in EXPECTED_FAULTS],
    Trial("2 of 7: votes and shards", f"-n 7 {SHORT} --byzantine 1:equivocate-votes,1:bad-shards"),
    Trial("2 of 7: replay and garbage", f"-n 7 {SHORT} --byzantine 1:replay,1:garbage-proposals"),
    Trial(
        "of 7, one lies, one is killed and returns, delays",
        f"-n 7 {SHORT} --byzantine 1:equivocate-broadcast --restart 1 --delay 20ms~10ms",
    ),
    Trial("of 7, one serves blocks in drips, one returns", f"-n 7 {SHORT} --byzantine 1:drip-blocks --restart 1"),
    Trial("2 of 4 silent (more than f)", f"{SHORT} --byzantine 2:silent", "nothing was committed"),
]


def main() -> int:
    """Run the trials and write the table; status 1 if one did not end as expected."""
    streams.prepare()
    parser = argparse.ArgumentParser(
        prog="python -m bench.studies.reliability", description="Fill the table of faults."
    )
    parser.add_argument("file", type=Path, help="the page, with the two markers")
    parser.add_argument(
        "--only", default="", metavar="WORD", help="just the faults or options with this word; other rows stay"
    )
    arguments = parser.parse_args()
    try:
        head, table, tail = split(arguments.file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        parser.error(str(error))
    rows, failed = [], 0
    for trial in TRIALS:
        if arguments.only in trial.fault or arguments.only in trial.options:
            summary = run(trial)
            as_expected = is_expected(trial, summary)
            failed += not as_expected
            rows.append(row(trial, summary, as_expected=as_expected))
            sys.stderr.write(rows[-1] + "\n")
        else:
            rows.extend(line for line in table if line.startswith(f"| {trial.fault} |"))
    lines = ["| fault | `honeybadger local …` | expected | what happened |", "|---|---|---|---|", *rows]
    arguments.file.write_text("\n".join([head.rstrip(), "", BEGIN, *lines, END]) + tail, encoding="utf-8")
    return int(failed > 0)


def split(page: str) -> tuple[str, list[str], str]:
    """The text before the markers, the lines between them, the text after. Raises ValueError if one is missing."""
    head, begin, rest = page.partition(BEGIN)
    table, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks the line {BEGIN!r} or {END!r}")
    return head, table.splitlines(), tail


def run(trial: Trial) -> dict[str, Any]:
    """The summary of the run; if it wrote none, one with only a reason."""
    command = [sys.executable, "-m", "honeybadger.cli.main", "local", "--json", *shlex.split(trial.options)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    try:
        summary: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        lines = done.stderr.strip().splitlines() or [f"status {done.returncode}, no output"]
        return {"valid": False, "reason": lines[-1]}
    return summary


def is_expected(trial: Trial, summary: dict[str, Any]) -> bool:
    """Whether it was valid, or refused for the expected reason without a fork."""
    if trial.refused:
        return trial.refused in summary["reason"] and summary.get("ledger", {}).get("agree", True)
    return bool(summary["valid"])


def row(trial: Trial, summary: dict[str, Any], *, as_expected: bool) -> str:
    """A line of the table."""
    expected = f"refused: “{trial.refused}”, ledgers agree" if trial.refused else "valid"
    happened = "; ".join(story(summary))
    verdict = "" if as_expected else "**NOT AS EXPECTED** "
    options = trial.options.replace("|", "\\|")
    return f"| {trial.fault} | `{options}` | {expected} | {verdict}{happened} |"


def story(summary: dict[str, Any]) -> Iterator[str]:
    """What happened, in a few words."""
    yield "valid" if summary["valid"] else f"“{summary['reason'].removeprefix('error: ')}”"
    if summary.get("throughput_tx_per_s"):
        yield f"{summary['throughput_tx_per_s']:,.0f} tx/s"
    if restarts := summary.get("restarts"):
        times = [r["recovery_s"] for r in restarts if r["recovery_s"] is not None]
        missing = len(restarts) - len(times)
        text = counted(len(restarts), "restart")
        text += f", keeping up again after {summary['recovery_median_s']:.1f} s (median)"
        text += f", {summary['recovery_worst_s']:.1f} s (worst)"
        yield text + (f", {missing} killed again before" if missing else "")
        before = restarts[0]["throughput_before_tx_per_s"]
        if len(restarts) == 1 and before:
            text = f"others {before:,.0f} tx/s before"
            for when, words in (("while_down", "while it was down"), ("catching_up", "while it caught up")):
                rate = restarts[0][f"throughput_{when}_tx_per_s"]
                text += "" if rate is None else f", {rate:,.0f} ({rate / before:.0%}) {words}"
            yield text
    if summary.get("pause_median_s") is not None:
        pauses = f"{summary['pause_median_s']:.1f} s (median), {summary['pause_worst_s']:.1f} s (worst)"
        yield f"without a new block for {pauses} after a kill"
    if never := summary.get("offered_unanswered_tx"):
        yield f"{never:,} of {summary['offered_tx']:,} offered transactions never answered"
    yield from summary.get("warnings", ())
    if held := [row["most_held"] for row in summary.get("per_node", ()) if row.get("most_held")]:
        worst = max(held, key=lambda most: most["peer_bytes"])
        yield f"≤ {worst['peer_bytes'] / 1e6:.0f} MB held for a peer (cap {worst['peer_bytes_cap'] / 1e6:.0f})"
    recorded = defaultdict(list)
    for fault in summary.get("faults_recorded", ()):
        recorded[fault["node"]].append(fault["kind"])
    for node, kinds in recorded.items():
        yield f"node {node} accused of {', '.join(kinds)}"


if __name__ == "__main__":
    sys.exit(main())
