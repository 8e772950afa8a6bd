"""Proposals that are broadcast correctly and worth nothing."""

from collections.abc import Sequence

from honeybadger.adversary.base import EMPTY_BATCH, Adversary
from honeybadger.adversary.dispersal import FalseProposer
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.messages import Echo
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.wire import Message


def _batch(*numbers: int) -> bytes:
    """The begin of an encoded batch: a count and ends, as they are given."""
    return b"".join(number.to_bytes(4, "little") for number in numbers)


#: plaintexts that no honest node would propose
PLAINTEXTS: dict[str, bytes] = {
    "empty plaintext": b"",
    "unparsable": b"\xc1\xc1",
    "trailing bytes": _batch(1, 1) + b"x\x00",
    "truncated": _batch(2, 1, 2) + b"x",
    "count without ends": _batch(1),
    "endless count": _batch(2**32 - 1, 1) + b"x",
    "endless transaction": _batch(1, 2**32 - 1) + b"x",
    "ends that descend": _batch(3, 2, 1, 2) + b"xy",
    "ends short of the end": _batch(2, 0, 1) + b"xy",
    "nothing but zeros": bytes(5000),
    "empty transaction": _batch(2, 1, 1) + b"x",
}


def oversized_plaintexts(parameters: Parameters, nodes: int) -> dict[str, bytes]:
    """Batches beyond the limits of a chain; empty plaintexts where that would take more than a megabyte."""
    count = parameters.transactions_per_node(nodes) + 1
    length = parameters.max_tx_bytes + 1
    return {
        "too many": encode_contribution([k.to_bytes(4, "big") for k in range(count)]) if count < 100_000 else b"",
        "long transaction": encode_contribution([bytes(length)]) if length < 1 << 20 else b"",
    }


#: what is wrong with a ciphertext, before anybody decrypts it or by everybody's decryption alike
CIPHERTEXTS = ("junk", "nothing", "short", "body", "mask", "identity", "foreign label", "trailing", "plain")


def bad_ciphertext(adversary: Adversary, kind: str, epoch: int) -> bytes:
    """This node's proposal for an epoch, broken as one of `CIPHERTEXTS` says; ValueError for another kind."""
    lies = adversary.context.public_keys.suite.lies
    good = adversary.encrypt(epoch, EMPTY_BATCH)
    match kind:
        case "junk":
            return adversary.context.randbytes(300)
        case "nothing":
            return b""
        case "short":
            return good[: len(good) - len(EMPTY_BATCH) - 1]
        case "body" | "mask":
            key, randbytes = adversary.context.public_keys.encryption, adversary.context.randbytes
            return lies.spoilt(key, EMPTY_BATCH, adversary.label(epoch), randbytes, kind)
        case "identity":
            return lies.identity_header(good)
        case "foreign label":
            return adversary.encrypt(epoch + 1, EMPTY_BATCH)
        case "trailing":
            return good + b"\0"
        case "plain":
            return EMPTY_BATCH
    raise ValueError(kind)


class GarbageProposals(FalseProposer):
    """Proposals that every node delivers and nobody can use, another kind in each epoch.

    By turns: bytes that are no ciphertext, ciphertexts with a wrong label or tag, valid ones of plaintexts that are
    not a canonical batch within the limits, and a copy of another node's ciphertext of the same epoch.

    Correct nodes must all turn them into the empty contribution: BAD_CIPHERTEXT or BAD_CONTRIBUTION, if the proposal
    was in the subset.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        oversized = oversized_plaintexts(context.parameters, context.quorums.nodes)
        self._plaintexts = [*PLAINTEXTS.values(), *oversized.values()]
        self._turn = 0
        self._copying = 0

    def shards(self, epoch: int) -> Sequence[bytes]:
        self._turn += 1
        if not self.encrypted(epoch):
            return self.code.encode(self._plaintexts[self._turn % len(self._plaintexts)])
        if self._turn % 5 == 0:
            # Wait for shards of the victim's ciphertext.
            self._copying = epoch
            return []
        # By turns one of each list.
        pair, which = divmod(self._turn, 2)
        if which == 0:
            proposal = bad_ciphertext(self, CIPHERTEXTS[pair % len(CIPHERTEXTS)], epoch)
        else:
            proposal = self.encrypt(epoch, self._plaintexts[pair % len(self._plaintexts)])
        return self.code.encode(proposal)

    def witness(self, sender: int, message: Message) -> None:
        victim = (self.me + 1) % self.quorums.nodes
        if not isinstance(message, Echo) or (message.epoch, message.proposer) != (self._copying, victim):
            return
        shards = self.overhear(sender, message) if sender != self.me else None
        if shards:
            self._copying = 0
            self.disperse_late(message.epoch, shards)
