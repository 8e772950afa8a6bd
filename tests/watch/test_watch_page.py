"""The page in a real browser (headless Chromium): it shows what nodes say, as text, and runs nothing of it."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.watch import Watched, node_status

from honeybadger.watch.cluster import WatchedCluster

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = "<img src=x onerror=\"document.title='owned'\">"

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian package: chromium)"),
]


def shown(cluster: Watched, home: Path) -> str:
    """The document after a while, as the browser has it, without the script."""
    done = subprocess.run(
        [
            *(str(BROWSER), "--headless", "--disable-gpu", f"--user-data-dir={home}"),
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            *("--virtual-time-budget=4000", "--dump-dom", f"http://127.0.0.1:{cluster.port}/"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "Uncaught" not in done.stderr, done.stderr
    return done.stdout.partition("<script")[0]


def test_the_cluster_is_shown(cluster: Watched, tmp_path: Path) -> None:
    cluster.nodes[1].status = lambda: node_status(1, faults=[[3, "BAD_BRANCH", 7]], silent_through=1300)
    early = {"proposed": 0.0, "committed": 0.2, "agreed": 0.1, "broadcast": 0.1}
    cluster.nodes[2].status = lambda: node_status(2, height=1000, phases={"last": {"epoch": 1239, "seconds": early}})
    cluster.nodes[3].status = lambda: None
    cluster.until(lambda: cluster.get("/status")[3] is None)
    dom = shown(cluster, tmp_path)
    for text in ("3 of 4", "4,321", "98,765", "1,235", "235 behind", "no answer", "broadcast, 20 ms", "epoch 1239"):
        assert text in dom, text
    for text in ("node 3", "bad branch", "<polyline", "agreed → committed", "mute through epoch 1,300"):
        assert text in dom, text
    assert re.findall(r'title="(\w+): after', dom) == ["broadcast", "agreed", "committed"] * 3
    assert f"honeybadger, chain {cluster.manifest.chain_id.hex()[:12]}" in dom
    assert dom.count("<tr") == 1 + 4 + 1 + 1
    assert 'id="trouble" role="alert" hidden' in dom


def test_what_nodes_say_is_text_and_runs_nothing(
    cluster: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = {"seconds": {"<script>x</script>": 0.0, "<img src=x onerror=x>": 0.5}, "epoch": 1}
    faults = [[1, "<b onclick=x>", 1]]
    cluster.nodes[0].status = lambda: node_status(0, faults=faults, phases={"current": {**evil}, "last": evil})
    honest = WatchedCluster.overview

    def overview(watched: WatchedCluster) -> dict[str, Any]:
        return {**honest(watched), "protocol": EVIL, "chain": EVIL}

    monkeypatch.setattr(WatchedCluster, "overview", overview)
    cluster.until(lambda: cluster.get("/status")[0]["faults"] == faults)
    dom = shown(cluster, tmp_path)
    assert "onerror" in dom and "onclick" in dom
    assert "<title>Honey Badger BFT cluster</title>" in dom
    assert "<img" not in dom and "<b onclick" not in dom


def test_a_watcher_that_does_not_answer_is_said(
    cluster: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(WatchedCluster, "overview", lambda watched: 1 / 0)
    assert "The watcher does not answer (status 500)" in shown(cluster, tmp_path)
