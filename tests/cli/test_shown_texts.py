"""What comes from outside is shown as it is: no table takes it for markup, and none of it reaches a terminal raw."""

import io
import os
from typing import Any

import pytest
from rich.table import Table
from support.client import node_status, scripted
from support.requests import refused

from honeybadger.cli import status
from honeybadger.cli.submit import _submit
from honeybadger.client.cluster import Cluster
from honeybadger.cluster.keygen import make_cluster
from honeybadger.console.plain import PlainConsole
from honeybadger.network.client_protocol import Refused
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

HOSTS = ["fe80::1", "fd00:a:b:cc::d", "node-2", "10.0.0.1"]


@pytest.mark.parametrize("text", ["[fe80::1]:7100", "[red]x[/red]", "[/x]", "x :a: :smile:", "[link=http://x]y[/link]"])
def test_no_text_is_markup(text):
    console = PlainConsole(file=io.StringIO(), width=100)
    table = Table(title=text)
    table.add_column(text)
    table.add_row(text)
    console.print(table)
    console.print(text)
    assert console.file.getvalue().count(text) == 4  # type: ignore[attr-defined]


def test_nothing_reaches_the_terminal_that_is_more_than_text():
    console = PlainConsole(file=io.StringIO(), width=100, force_terminal=True)
    console.print("a\x1b[2J\x07\u202eb\nc\tä→")
    assert console.file.getvalue() == "a?[2J??b\nc?ä→\n"  # type: ignore[attr-defined]


GOOD = node_status(5)


@pytest.fixture
def told(run, monkeypatch, tmp_path):
    """What `honeybadger status` makes of these answers of the nodes: status, output, errors."""

    def told(*answers: dict[str, Any] | None) -> tuple[int, str, str]:
        addresses = [(host, 7100, 7101) for host in HOSTS]
        make_cluster(4, 1, HoneyBadgerParameters(), addresses)[0].save(tmp_path / "cluster.toml")
        answered = {node: answer for node, answer in enumerate(answers) if answer is not None}
        monkeypatch.setattr(status, "ask_status", lambda *_: answered)
        monkeypatch.setenv("COLUMNS", "200")
        return run("status", "--cluster", tmp_path / "cluster.toml")

    return told


def test_status_shows_every_address(told):
    faulty = {**GOOD, "faults": [[3, "[/bad\x1b[2J]", 2]], "connections_cut": {"[b]peers": 4}}
    end, out, _ = told(GOOD, faulty, GOOD, GOOD)
    for text in ("[fe80::1]:7101", "[fd00:a:b:cc::d]:7101", "node 3: [/bad?[2J] ×2", "connections of [b]peers cut ×4"):
        assert text in out
    assert end == 0 and "\x1b" not in out


@pytest.mark.parametrize(
    "lie", [{}, {**GOOD, "height": "many"}, {**GOOD, "faults": [1]}, {**GOOD, "connections_cut": {"peers": "x"}}]
)
def test_status_of_a_node_that_answers_nonsense(told, lie):
    end, out, _ = told(GOOD, lie, GOOD, None)
    assert end == 1 and out.count("nonsense") == 1 and out.count("no answer") == 1 and out.count("3 of 3") == 2


def test_a_reason_that_a_node_gives_is_a_line(tmp_path, capsys):
    def refuses(request: Any) -> list[Refused]:
        return [refused(request.request, "\x1b[2J\n7", [0])]

    with scripted(refuses) as (_, members), os.fdopen(os.open(os.devnull, os.O_RDONLY)) as empty:
        manifest = make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", 1, members[0].client_port)])[0]
        with Cluster(manifest, curve=False) as cluster:
            assert not _submit(cluster, empty.fileno(), iter([[b"x"]]), 60.0)
    assert capsys.readouterr().out == "refused: \\x1b[2J 7\n"
