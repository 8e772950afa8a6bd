"""No message, whatever its fields, from whomever, at whatever moment, makes `handle` raise."""

import random

import msgspec
import pytest
from support.hotstuff.bench import Bench

from honeybadger.protocols.hotstuff.certificates import block_digest
from honeybadger.protocols.hotstuff.messages import (
    BEGINNING,
    MESSAGE_TYPES,
    NO_TIMEOUT,
    NO_VOTE,
    ROOT,
    Block,
    Quorum,
    SignedVote,
    TimedOut,
)


@pytest.mark.parametrize("seed", range(20))
def test_handle_never_raises(seed):
    rng = random.Random(seed)
    node = Bench(me=seed % 4, chain=rng.choice(["three", "two"]))
    chain = node.chain(1, 2, 3, 5, 6, 7)
    numbers = [0, 1, 2, 3, 4, 7, 8, 2**53]
    digests = [ROOT, b"\1" * 32, *(block_digest(each.block) for each in chain)]
    signatures = [NO_VOTE.signature, *(s for _, s in chain[1].justify.signatures)]

    def number():
        return rng.choice(numbers)

    def some(count, make):
        return [make() for _ in range(rng.randrange(count))]

    def signer():
        return rng.choice([0, 1, 2, 3, 4, 65535])

    makers = {
        int: number,
        bytes: lambda: rng.choice(digests),
        bool: lambda: rng.random() < 0.5,
        Block: lambda: rng.choice(
            [
                rng.choice(chain).block,
                Block(number(), number(), number(), rng.choice(digests), rng.choice([b"", b"\xff"])),
            ]
        ),
        Quorum: lambda: rng.choice(
            [
                BEGINNING,
                rng.choice(chain).justify,
                Quorum(number(), number(), rng.choice(digests), some(5, lambda: (signer(), rng.choice(signatures)))),
            ]
        ),
        TimedOut: lambda: rng.choice(
            [
                NO_TIMEOUT,
                node.timed_out(rng.choice([1, 3, 7])),
                TimedOut(number(), some(5, lambda: (signer(), number(), rng.choice(signatures)))),
            ]
        ),
        SignedVote: lambda: rng.choice(
            [
                NO_VOTE,
                node.vote(rng.randrange(4), rng.choice(chain).block),
                SignedVote(number(), number(), rng.choice(digests), rng.choice(signatures)),
            ]
        ),
    }

    def value(field):
        if field.name == "signature":
            return rng.choice(signatures)
        kind = field.type
        return makers[getattr(kind, "__origin__", kind)]()

    for step in range(150):
        if step % 25 == 24:
            node.propose(chain[step // 25])
        kind = rng.choice(MESSAGE_TYPES)
        message = kind(*(value(field) for field in msgspec.structs.fields(kind)))
        assert msgspec.msgpack.decode(msgspec.msgpack.encode(message), type=kind) == message
        node.hear(rng.randrange(4), message)
        node.protocol.status()
        node.protocol.held_bytes()
