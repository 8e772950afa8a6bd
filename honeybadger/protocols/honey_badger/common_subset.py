"""Asynchronous common subset: every correct node gets the same set of at least N-f proposals.

N reliable broadcasts and N binary agreements, one pair per proposer:
  - broadcast j delivers and agreement j has no input: input 1;
  - N-f agreements have DECIDED 1 (not: N-f broadcasts delivered): input 0 to those without input whose broadcast nobody
    has begun;
  - N-f agreements that decided 1 have TERMs of N-f nodes: input 0 to all without input;
  - all agreements decided: the subset is {j : decided 1}; wait for its broadcasts, then output.

Agreement j = 1 implies that a correct node gave input 1, hence delivered broadcast j, hence everyone will.

Departure: the paper inputs 0 to all as soon as N-f agreements have decided 1. Waiting for TERMs of N-f nodes, for
broadcasts that are under way, gives proposals that are only a moment behind their chance; it needs no clock, and is
live because all N-f correct nodes decide those agreements and send TERM. Measured at N = 4 on 2 cores: 3.2 of 4
proposals accepted without it.

Source: Ben-Or, Kelmer, Rabin (PODC 1994); Miller et al. (CCS 2016), section 4.4.
"""

from collections.abc import Callable
from typing import Any

from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.quorums import Quorums


class CommonSubset:
    """One epoch's subset. `on_output({proposer: value})` is called once, ascending by proposer.

    calls `on_broadcast(count)` with the number of delivered broadcasts each time one is delivered.
    """

    def __init__(
        self,
        quorums: Quorums,
        make_broadcast: Callable[[int, Callable[[bytes], None]], ReliableBroadcast],
        make_agreement: Callable[[int, Callable[[int], None], Callable[[], None]], BinaryAgreement],
        on_broadcast: Callable[[int], None],
        on_output: Callable[[dict[int, bytes]], None],
    ) -> None:
        self._quorums = quorums
        self._on_broadcast = on_broadcast
        self._on_output = on_output
        #: proposer → what its broadcast delivered
        self._values: dict[int, bytes] = {}
        #: agreements that decided 1, those of them with TERMs of N-f nodes, and those that have not decided
        self._accepted = 0
        self._settled = 0
        self._undecided = quorums.nodes
        self._output_given = False
        self.broadcasts = [make_broadcast(j, self._deliver_to(j)) for j in range(quorums.nodes)]
        self.agreements = [make_agreement(j, self._decide_to(j), self._settle_to(j)) for j in range(quorums.nodes)]

    def status(self) -> dict[str, Any]:
        """What each instance is waiting for; only those that are not finished."""
        return {
            "delivered": len(self._values),
            "undecided": self._undecided,
            "broadcasts": {j: b.status() for j, b in enumerate(self.broadcasts) if not b.delivered},
            "agreements": {j: a.status() for j, a in enumerate(self.agreements) if a.decision is None},
        }

    @property
    def held_bytes(self) -> list[int]:
        """Of each broadcast: shards, and what it delivered."""
        return [b.held_bytes + len(self._values.get(j, b"")) for j, b in enumerate(self.broadcasts)]

    def release(self) -> None:
        """Forget the values and broadcasts; the agreements may still be needed by others."""
        self._values.clear()
        self.broadcasts = []

    def _deliver_to(self, proposer: int) -> Callable[[bytes], None]:
        def deliver(value: bytes) -> None:
            self._values[proposer] = value
            self.agreements[proposer].propose(1)
            self._on_broadcast(len(self._values))
            self._try_output()

        return deliver

    def _decide_to(self, proposer: int) -> Callable[[int], None]:
        def decide(bit: int) -> None:
            self._undecided -= 1
            if bit:
                # N-f proposals can be waited for, since N-f nodes are correct; more may never come.
                self._accepted += 1
                if self._accepted == self._quorums.quorum:
                    for broadcast, agreement in zip(self.broadcasts, self.agreements, strict=True):
                        if not broadcast.begun:
                            agreement.propose(0)
            self._try_output()

        return decide

    def _settle_to(self, proposer: int) -> Callable[[], None]:
        def settle() -> None:
            self._settled += self.agreements[proposer].decision == 1
            if self._settled == self._quorums.quorum:
                for agreement in self.agreements:
                    agreement.propose(0)

        return settle

    def _try_output(self) -> None:
        if self._undecided or self._output_given:
            return
        # A value that was accepted may still be on its way; one that came and was refused stays out.
        subset = [j for j, agreement in enumerate(self.agreements) if agreement.decision == 1]
        if all(j in self._values for j in subset):
            self._output_given = True
            self._on_output({j: self._values[j] for j in subset})
