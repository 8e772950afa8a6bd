"""Node 3 as the adversary has it: the frames of a real node, and between them whatever the fuzzer makes of frames.

It knows the links of its victims, so that what it forges is always in sequence and reaches the protocol.
"""

import random
from collections import Counter, deque
from functools import partial

import msgspec

from honeybadger.ledger.block import build_block
from honeybadger.network.codec import DATA, Header, WireError
from honeybadger.network.codec import HELLO as GREETING
from honeybadger.node.block_messages import (
    BlockCertificate,
    BlockRequest,
    BlockShare,
    BodyPart,
    CertificateRequest,
    CertifiedHeader,
)
from support.clock import Clock
from support.fuzz.memory_nodes import CODEC, HELLO, NODES, MemoryNode
from support.fuzz.mutations import EDGES, hostile_entry, hostile_header, mutated_bytes, nonsense, one_element_more

EVIL = 3
_HEADER = build_block(HELLO.chain_id, HELLO.chain_id, 1, 1, (0, 1, 2), [b"one", b"two"]).header.encode()
#: block messages, of which a healthy run shows only shares
BLOCK_TALK = [
    CODEC.encode([CertifiedHeader(0, _HEADER, bytes(48), 9)]),
    CODEC.encode([CertifiedHeader(0, one_element_more(_HEADER), bytes(48), 9)]),
    CODEC.encode([BlockRequest(0, 2**32 - 1, 4), BlockRequest(0, 1, 4)]),
    CODEC.encode([CertificateRequest(0, 1), CertificateRequest(0, 2**32 - 1)]),
    CODEC.encode([BlockCertificate(0, 1, bytes(48))]),
    CODEC.encode([BodyPart(0, 1, 0, b"x")]),
    CODEC.encode([BlockShare(1, height, bytes(32), bytes(48)) for height in (1, 2, 64, 2**32 - 1)]),
]


class Cluster:
    """Three honest memory nodes and node 3, whose every frame passes through the forger."""

    def __init__(self, seed: int, clock: Clock) -> None:
        self.rng = random.Random(seed)
        self.clock = clock
        self.corpus: deque[bytes] = deque(BLOCK_TALK, maxlen=400)
        #: all real entries go here if it is a list
        self.recording: list[bytes] | None = None
        self.inputs = 0
        self.kinds: Counter[str] = Counter()
        self._sessions = dict.fromkeys(range(NODES), 0)
        self._forwarded: dict[int, list[list[bytes]]] = {peer: [] for peer in range(NODES)}
        self.nodes = [MemoryNode(me, seed, partial(self._send, me), clock) for me in range(NODES)]
        self.honest = self.nodes[:EVIL]

    def turn(self, forged: int) -> None:
        """Everybody's turn once; node 3 sends each of the others `forged` hostile messages."""
        self.clock.now += 0.011
        for node in self.honest:
            self._attack(node, forged)
        for node in self.nodes:
            node.step(limit=400)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    def _send(self, sender: int, to: int, parts: list[bytes]) -> None:
        if self.recording is not None and parts[0][1] == DATA:
            self.recording.extend(parts[1:])
        if sender == EVIL:
            if parts[0][1] == DATA:
                self.corpus.extend(parts[1:])
                self._forwarded[to].append(parts[1:])
            return
        if to == EVIL:
            # Addressed to a session that the forger made up; the real node 3 takes it all the same.
            try:
                head = Header.decode(parts[0])._replace(ack_session=self.nodes[EVIL].session, ack=0)
            except WireError:
                # It acknowledges a number that only the forger can have made so large.
                return
            parts = [head.encode(), *parts[1:]]
        self.nodes[to].transport.arrives(sender, *parts)

    def _attack(self, victim: MemoryNode, forged: int) -> None:
        self._greet(victim)
        for entries in self._forwarded[victim.me]:
            self._deliver(victim, [self._header(victim).encode(), *entries])
        self._forwarded[victim.me].clear()
        for _ in range(forged):
            self.inputs += 1
            self._deliver(victim, self._hostile(victim))

    def _deliver(self, victim: MemoryNode, parts: list[bytes]) -> None:
        """Hand it over now, so that the next one knows what is in sequence."""
        waiting, victim.transport.inbox = victim.transport.inbox, deque()
        victim.transport.arrives(EVIL, *parts)
        victim.take()
        assert not victim.transport.inbox
        victim.transport.inbox = waiting

    def _header(self, victim: MemoryNode) -> Header:
        """One that the victim takes: in sequence, and with what is true of node 3."""
        evil = self.nodes[EVIL]
        return Header(
            DATA,
            self._sessions[victim.me],
            victim.peers.links[EVIL].incoming.processed + 1,
            1,
            victim.session,
            0,
            evil.protocol.horizon,
            evil.recovery.announced_epoch,
        )

    def _greet(self, victim: MemoryNode) -> None:
        """Under a new session, if the last one is no longer in order or by chance."""
        link = victim.peers.links[EVIL]
        ours = self._sessions[victim.me] == link.incoming.session and link.incoming.processed < 2**40
        if ours and self.rng.random() < 0.9:
            return
        self._sessions[victim.me] = session = self.rng.randrange(1, 2**63)
        head = Header(GREETING, session, 1, 1, victim.session, 0, 5, 0).encode()
        hello = msgspec.structs.replace(HELLO, heard=(victim.session, 2**40))
        self._deliver(victim, [head, CODEC.encode_hello(hello)])

    def _hostile(self, victim: MemoryNode) -> list[bytes]:
        rng = self.rng
        kind = rng.choice(("entries", "entries", "entries", "numbers", "header", "hello", "shape", "liar"))
        self.kinds[kind] += 1
        good = self._header(victim)
        entries = [hostile_entry(self.corpus, rng) for _ in range(rng.choice((1, 1, 2, 8)))]
        match kind:
            case "numbers":
                # Taken in sequence, but with an acknowledgement, horizon and durable epoch from nowhere.
                ack, horizon, durable = (rng.choice((0, 1, 5, *EDGES[:-2])) for _ in range(3))
                return [good._replace(ack=ack, horizon=horizon, durable=durable).encode(), *entries]
            case "header":
                return [hostile_header(good, rng), *entries]
            case "hello":
                hello = CODEC.encode_hello(HELLO)
                head = hostile_header(good._replace(kind=GREETING), rng)
                return [head, rng.choice((hello, mutated_bytes(hello, hello, rng), nonsense(rng)))]
            case "shape":
                return rng.choice(
                    (
                        [b""],
                        [good.encode()],
                        [nonsense(rng)],
                        [good.encode(), *[b""] * rng.choice((1, 63, 64, 65, 3000))],
                        [*entries, good.encode()],
                        [good.encode(), *entries * 8],
                    )
                )
            case "liar":
                # The same entries again and again under numbers that are old, new or far ahead.
                return [good._replace(first=rng.choice((1, good.first, good.first + 1, 2**40))).encode(), *entries]
        return [good.encode(), *entries]


def real_entries(seed: int) -> list[bytes]:
    """Block messages, and what nodes say in a short run without any attack."""
    clock = Clock()
    cluster = Cluster(seed, clock)
    for node in cluster.nodes:
        node.submit([b"%d-%d" % (node.me, i) for i in range(20)])
    seen = cluster.recording = []
    for _ in range(60):
        cluster.turn(0)
    cluster.close()
    assert len(seen) >= 100, "hardly anything was said"
    return [*BLOCK_TALK, *seen]
