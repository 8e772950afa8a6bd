"""The parameters of Honey Badger, in addition to those of every protocol; and which epochs are encrypted."""

import re
from functools import lru_cache
from typing import Annotated, Literal

from msgspec import Meta

from crypto.suites import find_suite
from honeybadger.protocols.parameters import Parameters, ProtocolName
from honeybadger.wording import nearest

CoinSchedule = Literal["fixed-fixed-coin", "every-round"]
Agreement = Literal["mmr14-conf", "mmr14", "crain20"]
Broadcast = Literal["hash-echo", "avid", "bracha"]
Selection = Literal["random", "oldest"]

#: agreements that real nodes refuse, and why
FLAWED: dict[Agreement, str] = {
    "mmr14": "a scheduler that learns the coin early can stall it forever (amiller/HoneyBadgerBFT issue 59;"
    " arXiv:1909.07453)"
}


class HoneyBadgerParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`coin_schedule`: "fixed-fixed-coin" is true, false, then a common coin; "every-round" is the paper's.

    `agreement`, `broadcast`: see the modules of that name. `selection`: "oldest" leaves nothing to chance, so proposals
    overlap, and everybody can foresee them.
    """

    protocol: ProtocolName = "honeybadger"
    encryption: Annotated[
        str, Meta(description="Which epochs are encrypted: always, never, every:N, or first:M,of:N.")
    ] = "always"
    coin_schedule: Annotated[CoinSchedule, Meta(description="Which agreement rounds toss a common coin.")] = (
        "fixed-fixed-coin"
    )

    agreement: Annotated[
        Agreement, Meta(description="Binary agreement: with CONF, the paper's (can be stalled), or Crain's of 2020.")
    ] = "mmr14-conf"
    broadcast: Annotated[
        Broadcast,
        Meta(
            description="Reliable broadcast: in shards, most votes by hash; the paper's; or Bracha's, without shards."
        ),
    ] = "hash-echo"
    selection: Annotated[Selection, Meta(description="Which waiting transactions a node proposes.")] = "random"

    @property
    def flaw(self) -> str:
        why = FLAWED.get(self.agreement)
        return f"agreement = {self.agreement}: {why}" if why else ""

    @property
    def encrypts(self) -> bool:
        return self.encryption != "never"

    def check(self, nodes: int) -> None:
        """ValueError, in one line, for an unknown schedule, or more nodes than the erasure code has shards."""
        super().check(nodes)
        is_encrypted(self.encryption, 0)
        most = find_suite(self.suite).most_nodes
        if nodes > most:
            raise ValueError(
                f"nodes = {nodes}: at most {most} nodes (the erasure code of suite {self.suite} has {most} shards)"
            )


@lru_cache(maxsize=64)
def _parse(schedule: str) -> tuple[int, int]:
    """(M, N): epochs with epoch mod N < M are encrypted."""
    if schedule == "always":
        return 1, 1
    if schedule == "never":
        return 0, 1
    if match := re.fullmatch(r"every:([0-9]{1,9})", schedule):
        on, period = 1, int(match[1])
    elif match := re.fullmatch(r"first:([0-9]{1,9}),of:([0-9]{1,9})", schedule):
        on, period = int(match[1]), int(match[2])
    else:
        like = nearest(schedule, ("always", "never"))
        raise ValueError(f'encryption = "{schedule}" is not one of "always", "never", "every:N", "first:M,of:N"{like}')
    if period < 1 or on > period:
        raise ValueError(f'encryption = "{schedule}": needs N of at least 1 and M of at most N')
    return on, period


def is_encrypted(schedule: str, epoch: int) -> bool:
    """Whether proposals of `epoch` are encrypted; ValueError for an unknown schedule."""
    on, period = _parse(schedule)
    return epoch % period < on
