"""Attacks on reliable broadcast: as proposer (VAL), and as an echoing node (ECHO, READY)."""

from collections.abc import Mapping, Sequence

import msgspec

from byzantine.puppet import Puppet
from honeybadger.adversary.dispersal import dispersal, echo_of, erasure_code
from honeybadger.protocols.epoch import ciphertext_label
from honeybadger.protocols.messages import Echo, Message, Ready, Val


class Proposer(Puppet):
    """Sends its own VALs through `vals`; everything else is honest."""

    has_transaction = False

    def start(self, node) -> None:
        self._vals: dict[int, Mapping[int, Sequence[Message]]] = {}
        super().start(node)

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Val) and message.proposer == self.me:
            epoch = message.epoch
            if epoch not in self._vals:
                self._vals[epoch] = self.vals(epoch)
            return self._vals[epoch].get(recipient, ())
        return self.change_other(recipient, message)

    def change_other(self, recipient: int, message: Message) -> Sequence[Message]:
        return [message]

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        """What each node gets in place of its VAL."""
        raise NotImplementedError

    def ciphertext(self, epoch: int, plaintext: bytes) -> bytes:
        context = self.node.context
        label = ciphertext_label(context.chain_id, epoch, self.me)
        return context.public_keys.encryption.encrypt(plaintext, label, context.randbytes)

    def shards(self, epoch: int, text: bytes = b"x") -> list[bytes]:
        return erasure_code(self.quorums).encode(self.ciphertext(epoch, b"\x91\xc4\x01" + text))


class TwoRoots(Proposer):
    """Scenario 2: one root to one half and another to the other half; echoes to each half what it wants."""

    def __init__(self, share: float = 0.5) -> None:
        self._share = share
        self._echoes: dict[int, list[Val]] = {}
        self.variants = [b"\x91\xc4\x01a", b"\x91\xc4\x01b"]

    def start(self, node) -> None:
        super().start(node)
        self.own_transactions = [b"a", b"b", *self.own_transactions]

    def _half(self, recipient: int) -> int:
        return int(recipient >= self.quorums.nodes * self._share)

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        code = erasure_code(self.quorums)
        two = [dispersal(code.encode(self.ciphertext(epoch, v)), epoch, self.me) for v in self.variants]
        self._echoes[epoch] = [vals[self.me] for vals in two]
        return {k: [two[self._half(k)][k]] for k in range(self.quorums.nodes)}

    def change_other(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Echo) and message.proposer == self.me:
            return [echo_of(self._echoes[message.epoch][self._half(recipient)])]
        if isinstance(message, Ready) and message.proposer == self.me:
            return [Ready(message.epoch, self.me, self._echoes[message.epoch][self._half(recipient)].root)]
        return [message]


class NonCodeword(Proposer):
    """Scenario 1: shards that are no codeword, under one valid root. `broken`: which shards are replaced."""

    def __init__(self, broken: Sequence[int] = (0,), unequal: bool = False) -> None:
        self._broken, self._unequal = broken, unequal

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        shards = self.shards(epoch)
        for k in self._broken:
            shards[k] = shards[k] * 2 if self._unequal else bytes(64) * (len(shards[k]) // 64)
        return {k: [val] for k, val in enumerate(dispersal(shards, epoch, self.me))}

    def change_other(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Echo) and message.proposer == self.me:
            root = message.root
            # Help as much as one can: READY at once.
            return [message, Ready(message.epoch, self.me, root)]
        return [] if isinstance(message, Ready) and message.proposer == self.me else [message]


class PartialDispersal(Proposer):
    """Scenario 6: VALs to `count` correct nodes only (and to oneself)."""

    def __init__(self, count: int, faulty: Sequence[int]) -> None:
        self._count, self._faulty = count, set(faulty)

    def start(self, node) -> None:
        super().start(node)
        self.own_transactions = [b"x", *self.own_transactions]

    def vals(self, epoch: int) -> Mapping[int, Sequence[Message]]:
        vals = dispersal(self.shards(epoch), epoch, self.me)
        # The first correct nodes are the slow ones in the tests, so take the last.
        lucky = [k for k in range(self.quorums.nodes) if k not in self._faulty][-self._count :]
        return {k: [vals[k]] for k in {*lucky, *self._faulty}}


#: how a VAL or ECHO is spoilt (scenario 3)
SPOILERS = {
    "bad branch": lambda m: {"branch": bytes([m.branch[0] ^ 1]) + m.branch[1:]},
    "short branch": lambda m: {"branch": m.branch[:-32]},
    "ragged branch": lambda m: {"branch": m.branch[:-1]},
    "no branch": lambda m: {"branch": b""},
    "long branch": lambda m: {"branch": m.branch + bytes(32)},
    "other shard": lambda m: {"shard": bytes([m.shard[0] ^ 1]) + m.shard[1:]},
    "longer shard": lambda m: {"shard": m.shard + bytes(64)},
    "empty shard": lambda m: {"shard": b""},
    "huge shard": lambda m: {"shard": bytes(1 << 20)},
    "other root": lambda m: {"root": bytes(32)},
}


class Spoiler(Puppet):
    """Scenario 3: spoils its own VALs, or its ECHOs in every broadcast."""

    def __init__(self, kind: str, target: type[Message]) -> None:
        self._spoil, self._target = SPOILERS[kind], target

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, self._target):
            return [msgspec.structs.replace(message, **self._spoil(message))]
        return [message]


class WrongIndex(Puppet):
    """Scenario 3: every node gets its neighbour's shard and branch."""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, Val):
            return [message]
        self.node.outbox.send((recipient + 1) % self.quorums.nodes, message)
        return []


class EchoReplay(Puppet):
    """Scenario 4: echoes other nodes' shards, with their valid branches, as its own."""

    def start(self, node) -> None:
        self._replayed: set[Message] = set()
        super().start(node)

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, Echo) and sender != self.me and message not in self._replayed:
            self._replayed.add(message)
            self.send_all(message)

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        return [] if isinstance(message, Echo) else [message]


class Equivocator(Puppet):
    """Scenario 5: after each ECHO and READY another one for a root of its own."""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Echo):
            shards = [bytes(64)] * self.quorums.nodes
            return [message, echo_of(dispersal(shards, message.epoch, message.proposer)[self.me])]
        if isinstance(message, Ready):
            return [message, Ready(message.epoch, message.proposer, b"\xee" * 32)]
        return [message]


class Impostor(Puppet):
    """Sends VALs in other nodes' broadcasts."""

    def change(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, Val):
            others = [k for k in range(self.quorums.nodes) if k != self.me]
            return [message, *(msgspec.structs.replace(message, proposer=k) for k in others)]
        return [message]
