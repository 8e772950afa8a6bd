"""Links emulated by the kernel, with `tc netem`."""

from __future__ import annotations

from typing import Any

from honeybadger.cluster.wan.commands import CommandFailed, run
from honeybadger.cluster.wan.errors import WanUnavailable
from honeybadger.cluster.wan.namespaces import DEVICE, Namespaces
from honeybadger.cluster.wan.profile import Profile
from honeybadger.cluster.wan.shaping import tc_commands

#: what of the kernel is needed, tried before anything is made with it
_NEEDED = (
    ("netem (sch_netem)", ["qdisc add dev lo root netem delay 1ms"]),
    (
        "htb (sch_htb)",
        ["qdisc add dev lo root handle 1: htb", "class add dev lo parent 1: classid 1:1 htb rate 1gbit quantum 60000"],
    ),
    (
        "u32 (cls_u32)",
        [
            "qdisc add dev lo root handle 1: htb",
            "filter add dev lo parent 1: protocol ip prio 1 u32 match ip dst 127.0.0.2/32 flowid 1:1",
        ],
    ),
)


class NetemLinks:
    """Implements `Links`."""

    name = "netem"

    def __init__(self, namespaces: Namespaces, profile: Profile) -> None:
        self._namespaces = namespaces
        self._profile = profile

    def start(self) -> None:
        """See `Links`."""
        self._require_shaping()
        for node, name in enumerate(self._namespaces.names):
            lines = tc_commands(self._profile, node, self._namespaces.addresses, DEVICE)
            try:
                run("tc", "-n", name, "-batch", "-", lines=lines)
            except CommandFailed as error:
                raise WanUnavailable(f"tc says: {error}") from None

    def _require_shaping(self) -> None:
        for what, lines in _NEEDED:
            try:
                run("tc", "-n", self._namespaces.hub, "-batch", "-", lines=[*lines, "qdisc del dev lo root"])
            except CommandFailed as error:
                raise WanUnavailable(
                    f"this kernel cannot shape links, {what} is missing (tc says: {error}; modprobe sch_netem sch_htb "
                    "cls_u32 loads it where there is one)"
                ) from None

    def report(self) -> dict[str, Any]:
        """See `Links`. The kernel does not say how late it is."""
        return {"lateness_ms": None}

    def stop(self) -> None:
        """See `Links`. The devices go with their namespaces."""
