"""Schedulers: each delivers everything, does what it is for, and is found by name; unfair ones are refused."""

import random
import sys
from collections.abc import Iterator
from math import inf, nan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.doc_blocks import EXTEND, blocks

from honeybadger.protocols.honey_badger.messages import BVal
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.network import Endpoint, InMemoryNetwork
from honeybadger.simulation.schedulers import LATEST, Fifo, Lifo, Scheduler, Together, UnfairScheduler
from honeybadger.simulation.schedulers.catalogue import SCHEDULERS, describe_schedulers, find_scheduler
from honeybadger.simulation.schedulers.frames import FrameDelays

NODES = 4
#: something to write for each name
WRITTEN = {"late": "late:3000", "starve": "starve:1,2", "leader": "leader:700", "split": "split:50"}
NAMES = [WRITTEN.get(name, name) for name in SCHEDULERS]


class Talk:
    """Nodes that send numbered messages to each other: `start` of them at once, then `answers` for each that arrives,
    until there were `total`. `arrived`: (sender, recipient, number), in order; `leader` is node `leads`."""

    def __init__(self, scheduler, seed=1, start=40, answers=1, total=600, leads=None):
        self.network = InMemoryNetwork(NODES, seed, scheduler)
        self.rng, self.answers, self.total, self.leads = random.Random(seed), answers, total, leads
        self.sent, self.arrived = [], []
        for me in range(NODES):
            handle = lambda sender, message, me=me: self.arrive(sender, me, message)  # noqa: E731
            self.network.attach(me, Endpoint(handle, leader=lambda: self.leads))
        for _ in range(start):
            self.say()

    def say(self):
        if len(self.sent) < self.total:
            what = (self.rng.randrange(NODES), self.rng.randrange(NODES), len(self.sent))
            self.sent.append(what)
            self.network.transmit(what[0], what[1], BVal(1, 0, what[2], True))

    def arrive(self, sender, recipient, message):
        self.arrived.append((sender, recipient, message.round))
        for _ in range(self.answers):
            self.say()

    def run(self):
        self.network.run()
        return self

    def overtaken(self):
        """By how many later messages each one was overtaken."""
        order = [number for *_, number in self.arrived]
        return {number: sum(later > number for later in order[:place]) for place, number in enumerate(order)}


def test_every_name_is_tried_here():
    assert set(SCHEDULERS) == {name.split(":")[0] for name in NAMES}


@pytest.mark.parametrize("name", [*NAMES, "starve:0+lifo", "leader+random", "split:30+late:100"])
@pytest.mark.parametrize(("start", "answers"), [(600, 0), (40, 1), (1, 2)])
def test_everything_arrives_once_and_the_same_seed_gives_the_same_order(name, start, answers):
    one, same = (Talk(find_scheduler(name, NODES), 7, start, answers, leads=2).run() for _ in range(2))
    assert len(one.sent) == 600
    assert sorted(one.arrived, key=lambda item: item[2]) == one.sent
    assert one.arrived == same.arrived


def test_fifo_and_lifo():
    assert not any(Talk(Fifo()).run().overtaken().values())
    newest_first = [number for *_, number in Talk(Lifo(), start=600, answers=0).run().arrived]
    assert newest_first == list(range(599, -1, -1))


@pytest.mark.parametrize(("name", "most"), [("random", 400), ("late:50", 50)])
def test_lateness_has_a_limit_and_reaches_far(name, most):
    overtaken = Talk(find_scheduler(name, NODES), total=3_000).run().overtaken().values()
    assert max(overtaken) <= most
    assert max(overtaken) >= min(most, 150) / 2, "some are overtaken by several times what is under way"


def test_the_starved_come_last():
    arrived = Talk(find_scheduler("starve:1", NODES), start=600, answers=0).run().arrived
    starved = [1 in pair for *pair, _ in arrived]
    assert starved == sorted(starved) and any(starved)


def test_whoever_leads_is_late():
    """It hears of a change at once."""
    talk = Talk(find_scheduler("leader:10000", NODES), start=50, answers=0, leads=3)
    talk.leads = 0
    for _ in range(50):
        talk.say()
    late = [leader in pair for *pair, number in talk.run().arrived for leader in [3 if number < 50 else 0]]
    assert late == sorted(late) and any(late)


@pytest.mark.parametrize("nodes", [4, 7])
def test_halves_are_parted_and_meet_again(nodes):
    scheduler, rng = find_scheduler("split:100", nodes), random.Random(3)
    scheduler.begin(InMemoryNetwork(nodes, 1))
    everyone, seen = range(nodes), set()

    def parted(step):
        keys = {(a, b): scheduler(step, a, b, BVal(1, 0, 0, True), rng) for a in everyone for b in everyone}
        assert set(keys.values()) <= {step, step - step % 100 + 100}
        return {pair for pair, key in keys.items() if key > step}

    for start in range(0, 4_000, 200):
        apart = parted(start)
        friends = frozenset(node for node in everyone if (0, node) not in apart)
        assert len(friends) in (nodes // 2, nodes - nodes // 2)
        assert apart == {(a, b) for a in everyone for b in everyone if (a in friends) != (b in friends)}
        assert parted(start + 50) == parted(start + 99) == apart
        assert not parted(start + 100) and not parted(start + 199)
        seen.add(friends)
    assert len(seen) > 1


@pytest.mark.parametrize("key", [nan, inf, -inf, LATEST + 10.0, None, "7", 1j])
def test_an_answer_that_is_no_key_is_refused(key):
    def unfair(step, sender, recipient, message, rng):
        return key if message.round == 5 else step

    with pytest.raises(UnfairScheduler, match=r"^unfair gave a message the key .* it would never arrive$"):
        Talk(unfair)


def test_one_that_puts_messages_off_for_ever_is_refused():
    """Keys are given as if the message was sent when it was, so they cannot move away for ever."""

    class PutsOff(Scheduler):
        late = 1

        def begin(self, view):
            self.view = view

        def __call__(self, step, sender, recipient, message, rng):
            return step + (self.late if message.round == 5 else 0)

    scheduler = PutsOff()
    talk = Talk(scheduler)
    with pytest.raises(UnfairScheduler, match="PutsOff"):
        while True:
            scheduler.late *= 10
            scheduler.view.reschedule()
    assert not talk.arrived


@given(st.lists(st.sampled_from(NAMES[:-1]), min_size=1, max_size=4), st.integers(0, 1 << 32))
def test_together_they_are_as_late_as_one_after_the_other(names, seed):
    talk = Talk(Together(*(find_scheduler(name, NODES) for name in names)), seed, total=100).run()
    assert sorted(talk.arrived, key=lambda item: item[2]) == talk.sent


def test_names_are_described():
    """In the docs, too."""
    for each in describe_schedulers():
        assert f"| `{each.usage}` | {each.summary} |" in EXTEND
    described = {each.name: each for each in describe_schedulers()}
    assert list(described) == list(SCHEDULERS)
    assert described["late"].usage == "late:STEPS" and described["split"].usage == "split[:STEPS]"
    assert described["coin-attack"].needs and not described["fifo"].needs
    for each in described.values():
        assert each.summary.endswith(".") and len(each.summary) <= 130


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The current directory has a file `mine.py`, of which nothing is left in this process afterwards."""
    (tmp_path / "mine.py").write_text(
        """from honeybadger.simulation.schedulers import Scheduler
class Slow(Scheduler):
    @classmethod
    def of(cls, argument, nodes):
        made = cls(); made.victim = {str(node): node for node in range(nodes)}[argument]; return made
    def __call__(self, step, sender, recipient, message, rng): return step + 9000 * (self.victim in (sender, recipient))
class Other(list):
    pass
class Wrong(Scheduler):
    def __call__(self, step): return step
"""
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    sys.modules.pop("mine", None)
    yield
    sys.modules.pop("mine", None)


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("lief", "there is no scheduler lief; there are fifo, lifo, .*my_module:ClassName; did you mean lifo[?]"),
        ("", "there is no scheduler [(]empty[)]; there are"),
        ("mine", "there is no scheduler mine; .*; did you mean mine:Slow or mine:Other or mine:Wrong[?]"),
        ("late", "late says too little: write late:STEPS"),
        ("starve:", "starve says too little: write starve:NODES"),
        ("late:0", "late:0: 0 is no number of steps from 1 to 1,000,000"),
        ("late:1000001", "late:1000001: 1000001 is no number of steps"),
        ("leader:-1", "leader:-1: -1 is no number of steps"),
        ("split:²", "split:²: ² is no number of steps"),
        ("starve:4", "starve:4: 4 is no node; they are 0 to 3, as in starve:0,2"),
        ("starve:1,1", "starve:1,1: node 1 is named twice"),
        ("fifo:3", "fifo:3: takes no argument, not 3"),
        ("fifo+lief", "there is no scheduler lief"),
        ("coin-attack+fifo", "coin-attack[+]fifo: coin-attack decides about all messages"),
        ("nowhere:Slow", "there is no module nowhere in "),
        ("mine:Fast", "mine .* has no class Fast; it has Slow, Wrong"),
        ("mine:Other", "mine:Other is no subclass of honeybadger.simulation.schedulers.Scheduler"),
        (
            "mine:Wrong",
            "Wrong has __call__[(]self, step[)] [(]mine.py, line 10[)], but it must be __call__[(]self, step, ",
        ),
        ("mine:Slow:x", "mine:Slow:x: KeyError: 'x' [(]mine.py, line 5[)]"),
    ],
)
def test_what_is_no_scheduler_is_refused_in_one_line(text, says):
    with pytest.raises(ValueError, match=f"^{says}") as error:
        find_scheduler(text, NODES)
    assert "\n" not in str(error.value)


def test_coin_attack_needs_four_nodes():
    with pytest.raises(ValueError, match="coin-attack: needs four nodes, not 7"):
        find_scheduler("coin-attack", 7)


@pytest.mark.usefixtures("mine")
def test_a_class_in_a_file_of_ones_own():
    arrived = Talk(find_scheduler("mine:Slow:3+random", NODES), start=600, answers=0).run().arrived
    slow = [3 in pair for *pair, _ in arrived]
    assert slow == sorted(slow) and any(slow)


def frames(name, clock, leaders=frozenset):
    return FrameDelays(find_scheduler(name, NODES), clock, NODES, leaders, random.Random(1))


def test_frames_of_whole_nodes_are_late_by_as_much():
    """A step is a millisecond; a frame is as late as the latest of its messages."""
    clock, message = Clock(), BVal(1, 0, 0, True)
    assert frames("fifo", clock).delay_s(0, 1, [message]) == 0
    starved = frames("starve:1", clock)
    assert starved.delay_s(0, 1, [message]) == pytest.approx(20)
    assert starved.delay_s(0, 1, []) == starved.delay_s(0, 2, [message]) == 0
    led = frames("leader:30", clock, lambda: [3])
    assert led.delay_s(3, 0, [message]) == pytest.approx(0.03) and led.delay_s(1, 2, [message]) == 0
    late = [frames("late:50", clock).delay_s(0, 1, [message] * count) for count in (1, 100)]
    assert 0 < late[0] < late[1] <= 0.05
    split = frames("split:50", clock)
    delays = {split.delay_s(0, other, [message]) for other in (1, 2, 3)}
    clock.after(0.02, lambda: None)
    clock.step()
    assert delays == {0, 0.05}
    assert {round(split.delay_s(0, other, [message]), 9) for other in (1, 2, 3)} == {0, 0.03}


@pytest.mark.parametrize("name", ["lifo", "random+lifo", "coin-attack"])
def test_what_reorders_messages_is_not_for_whole_nodes(name):
    with pytest.raises(ValueError, match="frames of whole nodes can only be late"):
        frames(name, Clock())


def test_the_example_of_the_docs_is_found_by_name(tmp_path, monkeypatch):
    (source,) = (block for block in blocks("python") if "class SlowNode" in block)
    (tmp_path / "slow_node.py").write_text(source, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    slow = [sender == 0 for sender, *_ in Talk(find_scheduler("slow_node:SlowNode", NODES), start=99).run().arrived]
    del sys.modules["slow_node"]
    assert slow.index(True) > 50
