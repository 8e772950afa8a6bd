"""Catching up beside f peers that drip, drop, boast or lie: at most three times as long as beside honest ones.

Time is virtual: a node that is 120 small or 60 larger blocks behind, on a network of scripted peers. The liars are
asked first.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from hashlib import sha256
from types import SimpleNamespace
from typing import Any

import pytest
from support.ledger import CHAIN_ID, chain_of_blocks

from honeybadger.ledger.block import Block, Header
from honeybadger.ledger.certificates import block_statement, signed_certificate
from honeybadger.node import catch_up as catch_up_module
from honeybadger.node.block_messages import BLOCKS_PER_REQUEST, BlockRequest, BodyPart, CertifiedHeader
from honeybadger.node.catch_up import PARALLEL, CatchUp
from honeybadger.node.patience import Patience
from honeybadger.node.recovery import POLL_S
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.protocols.wire import Message

#: until the first byte of an honest answer, seconds
DELAY_S = 0.005
#: an honest link, bytes per second
BANDWIDTH = 16_000_000
PART = 16 * 1024
#: what noticing the liars may take beside three times the honest time, seconds
NOTICE_S = 1.2
#: a run that takes longer has failed, seconds
MOST_S = 2000.0

#: (seconds after the message before it, message)
Script = Iterator[tuple[float, Message]]


def chain_of(length: int, tx_bytes: int) -> list[Block]:
    return chain_of_blocks([[b"%d" % height + bytes(tx_bytes)] for height in range(1, length + 1)])


#: blocks beyond those that the time is taken of, so that the node is far behind to the end
MORE = 8
CHAINS = {"120 small blocks": chain_of(120 + MORE, 100), "60 larger blocks": chain_of(60 + MORE, 40 * PART)}


def certificate(block: Block) -> bytes:
    """Stands for a threshold signature; `test_catch_up` has real ones."""
    return signed_certificate(sha256(block_statement(block.header.hash)).digest())


def header(block: Block, valid: bool = True) -> CertifiedHeader:
    return CertifiedHeader(
        0, block.header.encode(), certificate(block) if valid else signed_certificate(bytes(32)), len(block.body)
    )


def parts(block: Block) -> list[BodyPart]:
    body = block.body
    return [BodyPart(0, block.header.height, at, body[at : at + PART]) for at in range(0, len(body), PART)]


def messages(*blocks: Block) -> list[Message]:
    return [message for block in blocks for message in (header(block), *parts(block))]


def steady(every_s: float) -> Callable[[list[Block], int], Script]:
    """Everything, one message at a time."""
    return lambda blocks, turn: ((every_s, message) for message in messages(*blocks))


def honest(blocks: list[Block], turn: int, slower: float = 1.0) -> Script:
    """As fast as the link is."""
    first, *others = messages(*blocks)
    yield DELAY_S * slower, first
    for message in others:
        yield (PART * slower / BANDWIDTH if isinstance(message, BodyPart) else 0.0), message


def nothing(blocks: list[Block], turn: int) -> Script:
    return iter(())


def headers_only(blocks: list[Block], turn: int) -> Script:
    return ((0.001, header(block)) for block in blocks)


def drips_the_last_part(blocks: list[Block], turn: int) -> Script:
    for block in blocks:
        *most, last = messages(block)
        yield from ((0.001, message) for message in most)
        yield 4.8, last


def drips_the_last_block(blocks: list[Block], turn: int) -> Script:
    yield from honest(blocks[:-1], turn) if blocks[:-1] else ()
    yield from steady(4.8)(blocks[-1:], turn)


def quick_and_then_drips(blocks: list[Block], turn: int) -> Script:
    return steady(0.0 if turn % 4 else 4.8)(blocks, turn)


def in_time(blocks: list[Block], turn: int) -> Script:
    """As late as it can be before somebody else is asked and has answered."""
    *most, last = messages(*blocks)
    yield from ((0.0, message) for message in most)
    yield 0.29, last


def skips(blocks: list[Block], turn: int) -> Script:
    return steady(0.01)(blocks[-1:], turn)


def forged(delay_s: float) -> Callable[[list[Block], int], Script]:
    return lambda blocks, turn: iter([(delay_s, header(blocks[0], valid=False))])


def wrong_body(blocks: list[Block], turn: int) -> Script:
    yield DELAY_S, header(blocks[0])
    for part in parts(blocks[0]):
        yield DELAY_S, BodyPart(0, part.height, part.offset, bytes(len(part.shard)))


LIARS: dict[str, Callable[[list[Block], int], Script]] = {
    "drips every 4.8 s": steady(4.8),
    "drips every 0.9 s": steady(0.9),
    "drips every 0.2 s": steady(0.2),
    "drips every 0.05 s": steady(0.05),
    "drips the last part": drips_the_last_part,
    "drips the last block": drips_the_last_block,
    "quick and then drips": quick_and_then_drips,
    "just in time": in_time,
    "skips": skips,
    "drops": nothing,
    "headers only": headers_only,
    "boasts": nothing,
    "boasts and drips": steady(4.8),
    "forges": forged(DELAY_S),
    "forges late": forged(0.9),
    "wrong body": wrong_body,
}


@pytest.fixture
def clock(clock: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """And bodies travel in small parts."""
    monkeypatch.setattr(catch_up_module, "PART_BYTES", PART)
    return clock


class Run:
    """A node that is behind, its peers, and how long it takes: `seconds`, and how often each block was asked for."""

    def __init__(self, clock: Any, nodes: int, blocks: list[Block], liar: str = "", slower: float = 1.0) -> None:
        quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
        self.liars = set(range(1, quorums.weak)) if liar else set()
        #: how often each block was sent, false ones included
        self.sent: Counter[int] = Counter()
        self.faults: list[int] = []
        self._clock, self._blocks, self._liar, self._slower = clock, blocks, liar, slower
        top, self.goal = len(blocks), len(blocks) - MORE
        #: the last of the honest ones is behind itself
        self.announced = dict.fromkeys(range(1, nodes), top) | {nodes - 1: top // 2}
        self.announced |= dict.fromkeys(self.liars, 10**6 if "boasts" in liar else top)
        self.beyond: list[tuple[int, BlockRequest]] = []
        self.height = 0
        self._arrivals: list[tuple[float, int, int, Message]] = []
        self._order = itertools.count()
        self._busy: dict[int, float] = {}
        self._turns: Counter[int] = Counter()
        keys: Any = SimpleNamespace(certificate=SimpleNamespace(verify=self._verify))
        self.peer_epoch = self.announced.__getitem__
        chain: Any = self
        manifest: Any = SimpleNamespace(quorums=quorums, chain_id=CHAIN_ID, public_keys=keys)
        self.catch_up = CatchUp(manifest, self, chain, self, list(self.announced), clock)
        begin = clock.now
        while self.height < self.goal and clock.now < begin + MOST_S:
            self.catch_up.poll(self.height + 1)
            held = Counter(self.catch_up._ready.keys())
            held.update(number for request in self.catch_up._requests.values() for number in request.wanted)
            assert max(held.values(), default=0) <= 2
            assert set(held) <= set(range(self.height + 1, self.height + 2 * PARALLEL * BLOCKS_PER_REQUEST + 1))
            clock.now += POLL_S
            self._deliver()
        self.seconds = clock.now - begin

    @property
    def epoch(self) -> int:
        return self.height

    @property
    def again(self) -> int:
        """How many blocks were sent although another peer sent them, or will."""
        return sum(count - 1 for height, count in self.sent.items() if height <= self.goal)

    def send(self, peer: int, request: Message) -> None:
        assert isinstance(request, BlockRequest)
        heights = range(request.first, request.first + request.count)
        if heights[-1] > self.announced[peer]:
            self.beyond.append((peer, request))
        blocks = [self._blocks[height - 1] for height in heights if height <= len(self._blocks)]
        turn = self._turns[peer]
        script = LIARS[self._liar](blocks, turn) if peer in self.liars else honest(blocks, turn, self._slower)
        at = max(self._clock.now, self._busy.get(peer, 0.0))
        for delay_s, message in script if blocks else ():
            at += delay_s
            if isinstance(message, CertifiedHeader):
                self.sent[Header.decode(message.header).height] += 1
            heapq.heappush(self._arrivals, (at, next(self._order), peer, message))
        self._busy[peer] = at
        self._turns[peer] += 1

    def may_go_on(self) -> bool:
        return True

    def broadcast(self, message: Message) -> None:
        raise AssertionError("nothing here is for everybody")

    def fault(self, node: int, kind: object, detail: str) -> None:
        self.faults.append(node)

    def _deliver(self) -> None:
        while self._arrivals and self._arrivals[0][0] <= self._clock.now:
            _, _, peer, message = heapq.heappop(self._arrivals)
            if isinstance(message, CertifiedHeader):
                self.catch_up.handle_header(peer, message)
            elif isinstance(message, BodyPart):
                self.catch_up.handle_part(peer, message)

    def adopt(self, block: Block, transactions: list[bytes], proof: bytes) -> None:
        assert (block, proof) == (self._blocks[self.height], certificate(block))
        self.height += 1

    def _verify(self, statement: bytes, proof: bytes) -> bool:
        return proof == sha256(statement).digest()


FAIR: dict[tuple[int, str, float], Run] = {}


def fair(clock: Any, nodes: int, blocks: str, slower: float = 1.0) -> Run:
    """The same without a liar: always the same, so it is run once."""
    case = nodes, blocks, slower
    if case not in FAIR:
        FAIR[case] = Run(clock, nodes, CHAINS[blocks], slower=slower)
        assert (FAIR[case].beyond, FAIR[case].faults) == ([], [])
    return FAIR[case]


@pytest.mark.parametrize("liar", LIARS)
@pytest.mark.parametrize("nodes", [4, pytest.param(7, marks=pytest.mark.soak), 16])
@pytest.mark.parametrize("blocks", CHAINS)
def test_liars_cost_little_time_and_traffic(blocks: str, nodes: int, liar: str, clock: Any) -> None:
    assert fair(clock, nodes, blocks).again == 0
    run = Run(clock, nodes, CHAINS[blocks], liar)
    assert run.height >= run.goal
    assert run.beyond == [], "nobody is asked for what it does not claim to have"
    assert set(run.faults) <= run.liars
    assert run.seconds <= 3 * fair(clock, nodes, blocks).seconds + NOTICE_S
    # One range of each liar; with four nodes there is but one other peer at the end, so the liar is asked again.
    assert run.again <= BLOCKS_PER_REQUEST * max(4, len(run.liars))


@pytest.mark.parametrize("liar", ["drips every 4.8 s", "drops"])
@pytest.mark.parametrize("nodes", [4, pytest.param(7, marks=pytest.mark.soak), 16])
def test_a_slow_network_is_not_taken_for_liars(nodes: int, liar: str, clock: Any) -> None:
    """Larger blocks, of which each takes four seconds: nobody is given up for good, and not much is fetched twice."""
    alone = fair(clock, nodes, "60 larger blocks", 100)
    run = Run(clock, nodes, CHAINS["60 larger blocks"], liar, slower=100)
    for each in (alone, run):
        assert each.height >= each.goal and each.again <= 2 * each.goal
    assert run.faults == []
    assert run.seconds <= 3 * alone.seconds + NOTICE_S


def test_no_more_than_f_peers_count_as_slow_the_latest_ones() -> None:
    patience = Patience(Quorums(7, 2))
    for peer in (1, 2, 3, 2, 4):
        patience.mark_slow(peer)
    assert patience.slow == [2, 4]
