"""What a description makes of a node: honest, or in the hands of an adversary."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.lone_node import Home

from honeybadger.adversary import StrategyError
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.network.faulty_transport import FaultyTransport
from honeybadger.node.block_messages import BlockRequest
from honeybadger.node.node import NodeError


def test_a_lying_node_says_so_and_its_adversary_sees_all_that_it_sends(tmp_path: Path) -> None:
    node = Home(tmp_path, byzantine="silent").node(b"a")
    assert node.parts.report.status()["detail"]["adversary"] == "Silent"
    assert node.core.outbox is not node.core.peers
    node.core.outbox.broadcast(BlockRequest(0, 1, 1))
    assert not node.core.peers._common, "nothing for the other nodes"
    node._close()


@pytest.mark.parametrize(
    ("hook", "line", "raises"),
    [
        ("tick(self, now)", "self.nothing", StrategyError),
        ("change(self, recipient, message)", "return None", StrategyError),
        ("__init__(self, context)", "self.nothing", NodeError),
    ],
)
def test_a_mistake_in_a_strategy_ends_its_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: str, line: str, raises: type[Exception]
) -> None:
    text = f"from honeybadger.adversary import Adversary\nclass A(Adversary):\n    def {hook}:\n        {line}\n"
    (tmp_path / "mistaken.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mistaken", raising=False)
    with pytest.raises(raises, match=r"\(mistaken\.py, line [34]\)$"):
        Home(tmp_path / "home", byzantine="mistaken:A").run(b"a")


def test_an_honest_node_writes_to_its_peers_and_loads_no_attacks(tmp_path: Path) -> None:
    node = Home(tmp_path).node()
    assert node.core.outbox is node.core.peers
    node._close()
    loaded = "import sys, honeybadger.wiring.running_node; sys.exit('honeybadger.adversary' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], check=False).returncode == 0


def test_faults_of_the_manifest_act_on_the_links(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.manifest = home.manifest.with_faults([LinkFault(kind="slow", every_s=0.1)])
    node = home.node()
    assert isinstance(node.parts.transport, FaultyTransport)
    assert node.leads(), "in a protocol without a leader, node 0 counts as one"
    node._close()


def test_a_ledger_in_memory_is_saved_at_the_end_and_replaces_no_other(tmp_path: Path) -> None:
    home = Home(tmp_path, durability="memory")
    home.run(b"a")
    assert home.blocks() == [[b"a"]]
    with pytest.raises(NodeError, match="exists already"):
        home.node()
