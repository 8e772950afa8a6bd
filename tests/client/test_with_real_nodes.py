"""The library against real nodes, with CURVE: the code of docs/client.md, and nodes that die and return."""

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from support.nodes.cluster_harness import running

from honeybadger.client import Cluster

pytestmark = pytest.mark.processes
PAGE = Path(__file__).parents[2] / "docs" / "client.md"


def test_the_documented_code_and_nodes_that_die(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "".join(re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    assert code.count("runs/demo/cluster.toml") == 1
    with running(tmp_path / "c") as nodes:
        names: dict[str, Any] = {}
        exec(compile(code.replace("runs/demo/cluster.toml", str(nodes.manifest_path)), PAGE.name, "exec"), names)
        out = capsys.readouterr().out
        assert "one is in block" in out and "does not answer" not in out and "{}" in out
        assert "the counter is at 7" in out and "the same at every node: {0: 7, 1: 7, 2: 7, 3: 7}" in out
        assert [len(re.findall(rf"^event {n} is in block \d+$", out, re.MULTILINE)) for n in range(3)] == [1, 1, 1]

        # One thread follows from the start while the other submits, and each node dies once, with all its connections.
        everything = [b"%d" % number for number in range(40)]
        followed: list[Any] = []

        def follow() -> None:
            with Cluster.open(nodes.manifest_path, patience_s=1.0) as mine:
                for block in mine.follow(1, timeout_s=60.0):
                    followed.append(block)
                    if everything[-1] in block.transactions:
                        return

        follower = threading.Thread(target=follow)
        follower.start()
        heights: list[int] = []
        with Cluster.open(nodes.manifest_path, patience_s=1.0) as cluster:
            for node in range(4):
                nodes.processes[node].kill()
                nodes.processes[node].wait(10)
                heights += cluster.submit(everything[10 * node : 10 * node + 10])
                nodes.start(node)
                nodes.wait_connected()
            follower.join(60)
            assert not follower.is_alive() and cluster.liars == {}
        assert [block.height for block in followed] == list(range(1, len(followed) + 1))
        where = {tx: block.height for block in followed for tx in block.transactions}
        assert [where[tx] for tx in everything] == heights
        assert [block.block for block in followed] == nodes.blocks(2)[: len(followed)]
