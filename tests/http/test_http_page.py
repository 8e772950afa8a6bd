"""The page in a real browser (headless Chromium): it shows what the node says, as text, and runs nothing of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from http_helpers import Served, serving

from honeybadger.http.page import Page

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
EVIL = '<img src=x onerror="document.title=\'owned\'"><script>document.title="owned"</script>'

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium here (Debian package: chromium)"),
]


def node(index: int, **changes: Any) -> dict[str, Any]:
    status = {
        "height": 1234 + index,
        "epoch": 1240,
        "tip": "ab",
        "protocol": "honeybadger",
        "peers_connected": 3,
        "mempool": 1500,
        "mempool_bytes": 10,
        "uptime_s": 200,
        "faults": [],
        "transactions": 98_765,
        "tx_per_s": 4321.4,
        "phases": {
            "current": {"epoch": 1240, "seconds": {"proposed": 0.0, "broadcast": 0.01}, "age_s": 0.02},
            "last": {"epoch": 1239, "seconds": {"proposed": 0.0, "broadcast": 0.1, "agreed": 0.15, "committed": 0.2}},
        },
    }
    return {"node": index, "age_s": 0.1, "status": {**status, **changes}}


def page_with(nodes: list[dict[str, Any]], **changes: Any) -> Callable[..., Iterable[bytes]]:
    """Serves the page, and these nodes as its cluster."""
    page = Page()
    answer = {"node": 0, "chain": "c" * 64, "protocol": "honeybadger", "tolerates": 1, "nodes": nodes, **changes}

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/cluster":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [msgspec.json.encode(answer)]
        start_response("200 OK", [("Content-Type", "text/html"), ("Content-Security-Policy", page.policy)])
        return [page.html]

    return application


def browse(url: str, home: Path, *more: str) -> str:
    """The document after a while, as the browser has it."""
    done = subprocess.run(
        [
            str(BROWSER),
            "--headless",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            "--disable-gpu",
            f"--user-data-dir={home}",
            "--virtual-time-budget=4000",
            *(more or ("--dump-dom",)),
            url,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Uncaught" not in done.stderr, done.stderr
    return done.stdout


def shown(served: Served, home: Path) -> str:
    return browse(f"http://127.0.0.1:{served.port}/", home)


def test_the_cluster_is_shown(tmp_path: Path) -> None:
    nodes = [node(0), node(1, faults=[[3, "BAD_BRANCH", 7]]), node(2, height=1000), {"node": 3, "status": None}]
    with serving(page_with(nodes)) as served:
        dom = shown(served, tmp_path)
    for text in (
        "3 of 4",
        "4,321",
        "98,765",
        "1,235",
        "235 behind",
        "no answer",
        "broadcast, 20 ms",
        "200 ms, epoch 1239",
    ):
        assert text in dom, text
    for text in ("node 3", "bad branch", "<polyline", "agreed → committed", "honeybadger, chain cccccccccccc"):
        assert text in dom, text
    assert dom.count("<tr") == 1 + 4 + 1 + 1
    assert 'id="trouble" role="alert" hidden' in dom


def test_a_node_that_lost_its_votes_is_shown_as_such(tmp_path: Path) -> None:
    with serving(page_with([node(0), node(1, silent_through=1300)])) as served:
        # Without the script, which has the words too.
        dom = shown(served, tmp_path).partition("<script")[0]
    assert dom.count("mute through epoch") == dom.count("mute through epoch 1,300") == 1


def test_what_nodes_say_is_text_and_runs_nothing(tmp_path: Path) -> None:
    evil = {"seconds": {EVIL: 0.0, EVIL + "2": 0.5}, "epoch": 1}
    nodes = [node(0, faults=[[1, EVIL, 1]], phases={"current": {**evil, "age_s": 1}, "last": evil}), node(1, tip=EVIL)]
    with serving(page_with(nodes, protocol=EVIL, chain=EVIL)) as served:
        dom = shown(served, tmp_path)
    assert "owned" in dom
    assert "<title>Honey Badger BFT cluster</title>" in dom
    assert "<img" not in dom
    assert dom.count("<script") == 1


def test_a_node_that_does_not_answer_is_said(tmp_path: Path) -> None:
    page = page_with([])

    def broken(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/cluster":
            start_response("503 Service Unavailable", [])
            return [b"{}"]
        return page(environ, start_response)

    with serving(broken) as served:
        dom = shown(served, tmp_path)
    assert "This node does not answer (status 503)" in dom
