"""Strategies by name and in files of one's own: which fit a protocol, what is refused, and what a mistake leads to."""

import random
import sys
import sysconfig
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.byzantine.harness import attacked
from support.byzantine.scripted import Recorder
from support.doc_blocks import save_vote_zero

from honeybadger.adversary import Adversary, CorruptProtocol, StrategyError, catalogue, find_strategy
from honeybadger.node.block_messages import BlockRequest
from honeybadger.protocols.honey_badger.messages import Aux, BVal, Conf, Term
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.schedulers import shuffled

HEAD = "from honeybadger.adversary import Adversary\n"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In a directory of one's own, of which nothing is left in this process afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    # Other tests may have imported files of the same names.
    for file in FILES:
        sys.modules.pop(Path(file).stem, None)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def loaded(body: str, name: str = "Mine") -> type[Adversary]:
    Path("mine.py").write_text(HEAD + body)
    return find_strategy("honeybadger", f"mine:{name}")


def test_the_example_of_the_docs_is_short_and_votes_zero_and_nobody_is_accused(tmp_path: Path) -> None:
    lines = save_vote_zero(tmp_path).read_text().splitlines()
    assert sum(bool(line.strip()) for line in lines) <= 10
    strategy = find_strategy("honeybadger", "vote_zero:VoteZero")
    heard: list[Any] = []

    class Heard(strategy):  # type: ignore[misc, valid-type]
        def change(self, recipient: int, message: Any) -> Any:
            changed = super().change(recipient, message)
            heard.extend(changed if recipient != self.me else ())
            return changed

    cluster = attacked(4, Heard, faulty=[3], scheduler=shuffled)
    assert not cluster.network.faults
    assert {m.value for m in heard if isinstance(m, BVal | Aux | Term)} == {False}
    assert {m.values for m in heard if isinstance(m, Conf)} <= {1}


def test_entry_points_alone_say_which_protocol_a_strategy_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    silent = "honeybadger.adversary.traffic:Silent"
    entries = {
        "honeybadger.strategies": [EntryPoint("mute", silent, "")],
        "honeybadger.strategies.my_raft_2": [EntryPoint("lead-nowhere", silent, "")],
    }
    monkeypatch.setattr(catalogue, "entry_points", lambda group: entries.get(group, []))
    assert find_strategy("my-raft-2", "lead-nowhere") is find_strategy("pbft", "mute")
    assert catalogue.only_with("my-raft-2") == ["lead-nowhere"] and catalogue.everywhere() == ["mute"]
    with pytest.raises(LookupError) as error:
        find_strategy("pbft", "mut")
    assert str(error.value) == "pbft knows no strategy mut; it has mute, my_module:ClassName; did you mean mute?"
    with pytest.raises(LookupError, match=r"pbft knows no strategy lead-nowhere; it has mute, my_module:ClassName$"):
        find_strategy("pbft", "lead-nowhere")


FILES = {
    "vote_zero.py": HEAD + "class VoteZero(Adversary):\n    pass\nclass Other:\n    pass\nnumber = 3\n",
    "few.py": HEAD + "class Few(Adversary):\n    def lie(self, message):\n        return [message]\n",
    "init.py": HEAD + "class Init(Adversary):\n    def __init__(self):\n        pass\n",
    "unclosed.py": HEAD + "class X(Adversary:\n    pass\n",
    "needs.py": "\nimport no_such_package\n",
    "raises.py": "def f():\n    return {}['x']\n\nf()\n",
    "this.py": "raise ValueError('only where no other module has the name')\n",
    "leaves.py": "raise SystemExit(3)\n",
}


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("vote_zer:VoteZero", "there is no module vote_zer in {here} or on the Python path; did you mean vote_zero?"),
        ("nothing:X", "there is no module nothing in {here} or on the Python path"),
        ("vote_zero.x:X", "there is no module vote_zero.x in {here} or on the Python path; did you mean vote_zero?"),
        ("vote_zero.py:VoteZero", "write vote_zero, not vote_zero.py: a module is named as in an import"),
        ("./a/vote_zero.py:VoteZero", "write a.vote_zero, not ./a/vote_zero.py: a module is named as in an import"),
        ("vote_zero:VoteZer", "vote_zero ({here}/vote_zero.py) has no class VoteZer; did you mean VoteZero?"),
        ("vote_zero:Lie", "vote_zero ({here}/vote_zero.py) has no class Lie; it has VoteZero"),
        ("raises_not:X", "there is no module raises_not in {here} or on the Python path; did you mean raises?"),
        ("vote_zero:Other", "vote_zero:Other is no subclass of honeybadger.adversary.Adversary"),
        ("vote_zero:number", "vote_zero:number is no subclass of honeybadger.adversary.Adversary"),
        ("few:Few", "Few has lie(self, message) (few.py, line 3), but it must be lie(self, recipient, message)"),
        ("init:Init", "Init has __init__(self) (init.py, line 3), but it must be __init__(self, context)"),
        ("unclosed:X", "unclosed cannot be imported: SyntaxError: "),
        (
            "needs:X",
            "needs cannot be imported: ModuleNotFoundError: No module named 'no_such_package' (needs.py, line 2)",
        ),
        ("raises:X", "raises cannot be imported: KeyError: 'x' (raises.py, line 2)"),
        ("leaves:X", "leaves cannot be imported: SystemExit: 3 (leaves.py, line 1)"),
        ("sys:X", "sys (built in) has no class X"),
        ("this:X", f"this ({sysconfig.get_path('stdlib')}/this.py) has no class X"),
    ],
)
def test_what_a_node_cannot_follow_is_refused_in_one_line(tmp_path: Path, name: str, says: str) -> None:
    for file, text in FILES.items():
        Path(file).write_text(text)
    with pytest.raises(LookupError) as error:
        find_strategy("honeybadger", name)
    assert str(error.value).startswith(says.format(here=tmp_path)) and "\n" not in str(error.value)


def corrupt(strategy: Callable[..., Adversary]) -> CorruptProtocol:
    """Node 1 of four, whose honest object does nothing by itself."""
    context: Any = SimpleNamespace(
        me=1, quorums=Quorums(4, 1), outbox=Recorder(), randbytes=random.Random(1).randbytes, chain_id=bytes(32)
    )
    honest: Any = SimpleNamespace(poke=lambda: None, handle=lambda sender, message: None)

    def replaced(context: Any, outbox: Any) -> Any:
        """The other one wants a dataclass."""
        return SimpleNamespace(**{**vars(context), "outbox": outbox})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("honeybadger.adversary.corrupt.replace", replaced)
        return CorruptProtocol(context, lambda context: honest, strategy)


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ("None", "lie returned None, not a list of messages, for BlockRequest (mine.py, line 3)"),
        ("[None]", "lie returned a list with None in it, not a list of messages, for BlockRequest (mine.py, line 3)"),
        ("message", "lie returned a BlockRequest, not a list of messages, for BlockRequest (mine.py, line 3)"),
        ("'ab'", "lie returned a str, not a list of messages, for BlockRequest (mine.py, line 3)"),
        ("3", "lie returned an int, not a list of messages, for BlockRequest (mine.py, line 3)"),
        ("[message.value]", "AttributeError: 'BlockRequest' object has no attribute 'value' (mine.py, line 4)"),
        ("json.loads('{')", "JSONDecodeError: Expecting property name"),
    ],
)
def test_a_mistake_in_lie_names_its_place_and_is_raised_again_in_the_main_loop(returned: str, says: str) -> None:
    body = f"class Mine(Adversary):\n    def lie(self, recipient, message):\n        return {returned}\nimport json\n"
    liar = corrupt(loaded(body))
    liar.poke()
    with pytest.raises(StrategyError) as error:
        liar.outbox.broadcast(BlockRequest(0, 1, 1))
    assert str(error.value).startswith(says) and "(mine.py, line " in str(error.value)
    # gevent's hub, where messages about blocks leave, only prints what is raised there.
    with pytest.raises(StrategyError) as again:
        liar.poke()
    assert again.value is error.value


def test_mistakes_in_other_places_are_named_as_well() -> None:
    hooks = {"witness": "sender, message", "tick": "now", "change": "recipient, message", "__init__": "context"}
    for hook, parameters in hooks.items():
        strategy = loaded(f"class Mine(Adversary):\n    def {hook}(self, {parameters}):\n        return 1 / 0\n")
        with pytest.raises(StrategyError, match=r"^ZeroDivisionError: division by zero \(mine.py, line 4\)$"):
            liar = corrupt(strategy)
            liar.handle(2, BlockRequest(0, 1, 1))
            liar.poke()
            liar.outbox.send(1, BlockRequest(0, 1, 1))
        del sys.modules["mine"]
    # The honest object's own mistakes are not the strategy's.
    liar = corrupt(Adversary)
    liar._honest.handle = lambda sender, message: {}["x"]  # type: ignore[method-assign]
    with pytest.raises(KeyError):
        liar.handle(2, BlockRequest(0, 1, 1))


def test_a_generator_of_messages_is_as_good_as_a_list() -> None:
    liar = corrupt(
        loaded("class Mine(Adversary):\n    def lie(self, recipient, message):\n        yield from [message] * 2\n")
    )
    liar.outbox.send(0, BlockRequest(0, 1, 1))
    assert liar.adversary.outbox._inner.to == [(0, BlockRequest(0, 1, 1))] * 2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("body", "changed", "extra"),
    [
        ("pass", 0, 0),
        ("lie = lambda self, recipient, message: []", 6, 0),
        ("lie = lambda self, recipient, message: [message] * (recipient - 1)", 4, 0),
        ("lie = lambda self, recipient, message: [type(message)(0, 1, 1)]", 3, 0),
        # To itself it may say anything, and what it sends by itself replaces nothing.
        ("change = lambda self, recipient, message: [message] if recipient != self.me else []", 0, 0),
        ("tick = lambda self, now: self.send_others(Aux(1, 1, 1, True))", 0, 3),
        ("tick = lambda self, now: self.outbox.broadcast(Aux(1, 1, 1, True))", 0, 3),
        ("tick = lambda self, now: self.outbox.send(self.me, Aux(1, 1, 1, True))", 0, 0),
        ("tick = lambda self, now: self.outbox.send_now(0, Aux(1, 1, 1, True))", 0, 1),
    ],
)
def test_what_a_liar_changes_leaves_out_and_adds_is_counted(body: str, changed: int, extra: int) -> None:
    imports = "from honeybadger.protocols.honey_badger.messages import Aux\n"
    liar = corrupt(loaded(f"{imports}class Mine(Adversary):\n    {body}\n"))
    # A real node's outbox has it, others may not.
    sent_now: list[Any] = []
    liar.adversary.outbox._inner.send_now = lambda *sent: sent_now.append(sent)  # type: ignore[attr-defined]
    liar.poke()
    liar.outbox.broadcast(BlockRequest(0, 1, 1))
    liar.outbox.broadcast(BlockRequest(0, 2, 1))
    assert sent_now == ([(0, Aux(1, 1, 1, True))] if "send_now" in body else [])
    assert liar.lies == {"changed_messages": changed, "honest_messages": 6, "extra_messages": extra}
