"""When faults happened, on the clock on which a person asked for them."""

from collections import defaultdict
from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec

from bench.measure.results import Group
from bench.show.words import link_faults_in_words, listed
from honeybadger.network.fault_schedule import LinkFault


class Clock(Enum):
    """On which times of faults are asked for. Kills are planned in the measured time, link faults from the moment when
    all nodes were connected, which is earlier."""

    MEASURED = "seconds of the measured time"
    CONNECTED = "seconds since all nodes were connected"

    def shift(self, summary: dict[str, Any]) -> float:
        """What this clock shows at the beginning of the measured time."""
        return -float(summary.get("link_fault_zero_s") or 0.0) if self is Clock.CONNECTED else 0.0


def clocks_of(groups: Sequence[Group]) -> list[Clock]:
    """The clock of each panel: that of its own faults, or the one of the other panels if it has none."""
    own: list[Clock | None] = []
    for group in groups:
        summary = group.valid[0].summary
        scheduled = any(fault.get("start_s") or fault.get("end_s") for fault in summary.get("link_faults", ()))
        own.append(Clock.CONNECTED if scheduled else Clock.MEASURED if summary.get("outages") else None)
    rest = Clock.CONNECTED if Clock.CONNECTED in own else Clock.MEASURED
    return [clock or rest for clock in own]


def fault_spans(group: Group, clock: Clock) -> list[tuple[float, float | None, str]]:
    """(begin, end, words) of each fault in the first valid repeat, on this clock; end None: until the end of the run.

    What lasts for the whole run is no span.
    """
    summary = group.valid[0].summary
    measured_from = clock.shift(summary)
    spans: dict[tuple[float, float | None], list[int]] = defaultdict(list)
    for outage in summary.get("outages", ()):
        spans[outage["killed_at_s"], outage["restarted_at_s"]].append(outage["node"])
    faults: list[tuple[float, float | None, str]] = []
    for (killed, back), nodes in spans.items():
        who = f"node{'s' if len(nodes) > 1 else ''} {listed(nodes)}"
        begin, end = measured_from + killed, None if back is None else measured_from + back
        faults.append((begin, end, f"{who} {'killed' if back is None else 'down'}"))
    connected_at = measured_from + float(summary.get("link_fault_zero_s") or 0.0)
    links: dict[tuple[float, float | None], list[LinkFault]] = defaultdict(list)
    for fault in msgspec.convert(summary.get("link_faults", ()), list[LinkFault]):
        if fault.start_s or fault.end_s is not None:
            links[fault.start_s, fault.end_s].append(fault)
    for (start, stop), same_time in links.items():
        words = listed(dict.fromkeys(link_faults_in_words(same_time, group.options)))
        faults.append((connected_at + start, None if stop is None else connected_at + stop, words))
    return sorted(faults, key=lambda span: span[0])
