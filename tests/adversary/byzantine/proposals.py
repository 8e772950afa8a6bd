"""Attacks on encryption, decryption and the content of proposals; replays and floods."""

import random
from collections.abc import Mapping, Sequence

import msgspec

from byzantine.broadcast import Proposer
from byzantine.puppet import Puppet
from crypto.bls12_381 import BLS12_381
from crypto.merkle import verify_branch
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.dispersal import dispersal, erasure_code
from honeybadger.adversary.garbage import PLAINTEXTS as SHORT_PLAINTEXTS
from honeybadger.adversary.garbage import bad_ciphertext
from honeybadger.protocols.messages import DecryptionShares, Echo, Message, Term, Val


class BadDecryptionShares(Puppet):
    """Scenarios 21 and 41: the right set, wrong shares. `only`: just for this ciphertext (by position)."""

    def __init__(self, kind: str = "random point", only: int | None = None) -> None:
        self._kind, self._only = kind, only
        self._others: dict[int, list[tuple[int, bytes]]] = {}

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, DecryptionShares) and sender != self.me:
            self._others[message.epoch] = message.shares
            if self._kind == "other node":
                self.send_all(message)

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, DecryptionShares):
            return [message]
        if self._kind == "other node":
            return []
        shares = [
            (j, share if self._only not in (None, position) else self._bad(j, share))
            for position, (j, share) in enumerate(message.shares)
        ]
        return [DecryptionShares(message.epoch, shares)]

    def _bad(self, proposer: int, share: bytes) -> bytes:
        group = BLS12_381.g1
        match self._kind:
            case "random point":
                return group.encode(group.multiply(group.generator, 3 + proposer))
            case "identity":
                return bytes([0xC0]) + bytes(47)
        return random.Random(proposer).randbytes(48)


class WrongShareSet(Puppet):
    """Decryption shares for other proposals than the agreed ones."""

    KINDS = ("missing", "extra", "out of range", "twice", "reversed", "empty", "many")

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, DecryptionShares):
            return [message]
        shares = list(message.shares)
        share = shares[0][1]
        absent = [j for j in range(self.quorums.nodes + 1) if j not in dict(shares)]
        changed = {
            "missing": shares[:-1],
            "extra": sorted([*shares, (absent[0], share)]),
            "out of range": [*shares, (65535, share)],
            "twice": [shares[0], *shares],
            "reversed": shares[::-1],
            "empty": [],
            "many": [(j, share) for j in range(3000)],
        }[self._kind]
        return [DecryptionShares(message.epoch, changed)]


class EarlyShares(Puppet):
    """Scenario 19: sends (useless) decryption shares at once, long before anything is decided."""

    def start(self, node) -> None:
        self._seen: set[int] = set()
        super().start(node)

    def witness(self, sender: int, message: Message) -> None:
        if message.epoch not in self._seen and message.epoch <= self.honest.horizon:
            self._seen.add(message.epoch)
            share = BLS12_381.g1.encode(BLS12_381.g1.generator)
            self.send_all(DecryptionShares(message.epoch, [(j, share) for j in range(self.quorums.nodes)]))


class Copier(Proposer):
    """Scenario 18: proposes a correct node's ciphertext as its own, `later` epochs after it."""

    def __init__(self, victim: int, later: int = 0) -> None:
        self._victim, self._later = victim, later
        self._shards: dict[tuple[int, bytes], dict[int, bytes]] = {}
        self.copied: set[int] = set()

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        return {}

    def witness(self, sender: int, message: Message) -> None:
        if not isinstance(message, Echo) or message.proposer != self._victim:
            return
        if not verify_branch(message.root, self.quorums.nodes, sender, message.shard, message.branch):
            # Another faulty node's lie.
            return
        epoch = message.epoch + self._later
        shards = self._shards.setdefault((message.epoch, message.root), {})
        shards[sender] = message.shard
        if epoch not in self.copied and len(shards) == self.quorums.data_shards:
            self.copied.add(epoch)
            complete = erasure_code(self.quorums).complete(shards)
            for k, val in enumerate(dispersal(complete, epoch, self.me)):
                self.node.outbox.send(k, val)


class FrontRunner(Proposer):
    """Scenario 36: fixes its proposal only after it has seen decryption shares of a correct node."""

    def start(self, node) -> None:
        self.ran: set[int] = set()
        super().start(node)

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        return {}

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, DecryptionShares) and sender != self.me and message.epoch not in self.ran:
            self.ran.add(message.epoch)
            for k, val in enumerate(dispersal(self.shards(message.epoch), message.epoch, self.me)):
                self.node.outbox.send(k, val)


#: proposals that decrypt, but to nothing acceptable (B/N = 4 and max_tx_bytes = 2,000 in the tests)
PLAINTEXTS: dict[str, bytes] = {
    **SHORT_PLAINTEXTS,
    "too many": b"\x95" + b"".join(b"\xc4\x01" + bytes([i]) for i in range(5)),
    "long transaction": b"\x91\xc5" + (2001).to_bytes(2, "big") + bytes(2001),
    "too long": b"\x91\xc6" + (9000).to_bytes(4, "big") + bytes(9000),
}


class GarbageProposal(Proposer):
    """Scenario 20: a proposal that is broadcast correctly and worth nothing."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        shards = erasure_code(self.quorums).encode(self._value(epoch))
        return {k: [val] for k, val in enumerate(dispersal(shards, epoch, self.me))}

    def _value(self, epoch: int) -> bytes:
        if self._kind in PLAINTEXTS:
            return self.ciphertext(epoch, PLAINTEXTS[self._kind])
        return bad_ciphertext(Adversary(self.node.context), self._kind, epoch)


class Replayer(Puppet):
    """Scenario 17: repeats, under its own name, everything it ever heard of, as it was and in later epochs."""

    def start(self, node) -> None:
        self._heard: dict[int, list[Message]] = {}
        self._replayed: set[int] = set()
        super().start(node)

    def witness(self, sender: int, message: Message) -> None:
        if sender == self.me:
            return
        kept = self._heard.setdefault(message.epoch, [])
        if len(kept) < 200:
            kept.append(message)
        epoch = self.honest.epoch
        if epoch not in self._replayed and epoch <= 4:
            self._replayed.add(epoch)
            for number, messages in list(self._heard.items()):
                if number < epoch:
                    for old in list(messages):
                        self.send_all(old)
                        # Not a vote: those would be legal votes of the new epoch.
                        if isinstance(old, Val | Echo | DecryptionShares):
                            self.send_all(msgspec.structs.replace(old, epoch=epoch))
                        self.send_all(Term(number, getattr(old, "proposer", 0), True))
