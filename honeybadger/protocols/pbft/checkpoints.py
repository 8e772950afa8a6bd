"""Checkpoints: collects CHECKPOINTs until 2f+1 agree, and holds the newest stable one, which is the low water mark.

The low water mark moves by proofs only, never by this node's own checkpoint, and only to where this node has executed:
one that lags a little goes on with the messages it has instead of fetching the state. Until then a proof waits.
"""

from __future__ import annotations

from honeybadger.protocols.pbft.certificates import GENESIS, check_stable
from honeybadger.protocols.pbft.group import Group
from honeybadger.protocols.pbft.messages import Checkpoint, StableProof
from honeybadger.protocols.pbft.statements import checkpoint_statement

#: newest CHECKPOINTs kept of each node, and proofs ahead of this node's execution
KEPT = 4


class Checkpoints:
    """See the module. `stable` is the proof that the water marks rest on."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.stable: StableProof = GENESIS
        #: sender → number → (digest, signature)
        self._votes: dict[int, dict[int, tuple[bytes, bytes]]] = {}
        #: proofs above `stable`, by number
        self._ahead: dict[int, StableProof] = {}

    @property
    def newest(self) -> int:
        """The newest stable checkpoint, whether this node has executed so far or not."""
        return max(self._ahead, default=self.stable.number)

    def add(self, sender: int, message: Checkpoint) -> str:
        """Count a CHECKPOINT; returns "" or what is wrong with it."""
        number = message.number
        if number % self._group.checkpoint_interval or not number:
            return f"{number} is no checkpoint"
        if number <= self.stable.number or number in self._ahead:
            return ""
        votes = self._votes.setdefault(sender, {})
        if number in votes or (len(votes) == KEPT and number < min(votes)):
            return ""
        statement = checkpoint_statement(self._group.chain_id, number, message.digest)
        if sender != self._group.me and not self._group.verify(sender, statement, message.signature):
            return "signature of a checkpoint"
        votes[number] = (message.digest, message.signature)
        while len(votes) > KEPT:
            del votes[min(votes)]
        same = [
            (node, theirs[number][1])
            for node, theirs in sorted(self._votes.items())
            if theirs.get(number, (b"",))[0] == message.digest
        ]
        if len(same) >= self._group.checkpoint_quorum:
            self._learn(StableProof(number, message.digest, same[: self._group.checkpoint_quorum]))
        return ""

    def take(self, proof: StableProof) -> str:
        """A proof that somebody else put together; returns "" or what is wrong with it."""
        if proof.number <= self.stable.number or proof.number in self._ahead:
            return ""
        why = check_stable(self._group, proof)
        if not why:
            self._learn(proof)
        return why

    def restore(self, proof: StableProof) -> None:
        """The stable checkpoint of before a restart."""
        if proof.number > self.stable.number:
            self.stable = proof

    def advance(self, executed: int) -> bool:
        """Move the low water mark as far as proofs and execution allow; True if it has moved."""
        best = max((number for number in self._ahead if number <= executed), default=0)
        if best <= self.stable.number:
            return False
        self.stable = self._ahead[best]
        self._ahead = {number: proof for number, proof in self._ahead.items() if number > best}
        for votes in self._votes.values():
            for number in [number for number in votes if number <= best]:
                del votes[number]
        return True

    def _learn(self, proof: StableProof) -> None:
        self._ahead[proof.number] = proof
        while len(self._ahead) > KEPT:
            del self._ahead[max(number for number in self._ahead if number != max(self._ahead))]
