"""docs/results.md names every field that a run writes, and no other; every word of the tables, and no other."""

import csv
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.local_summary import busy
from support.nodes.cluster_harness import run_command

import bench.places.containers
from bench.measure.results import write_failed
from bench.measure.units import unit
from bench.places.containers import ContainersPlace
from bench.places.docker_engine import Image
from bench.places.hardware import machine, versions
from bench.places.hosts.hosts_place import HostsPlace
from bench.places.hosts.inventory import Host, Inventory
from bench.places.hosts.link import Link
from bench.places.hosts.preflight import Clock
from bench.plan.experiment import Experiment
from honeybadger.cli.local_table import print_tables
from honeybadger.cluster.wan.emulation import Emulation
from honeybadger.cluster.wan.forwarding import Forwarder, Plan
from honeybadger.cluster.wan.namespaces import Namespaces
from honeybadger.cluster.wan.profile import Profile
from honeybadger.protocols.registry import find_protocol

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")

#: one run with a restart, a liar, and a link fault of every kind, none of which holds it up for long
MANIFEST = """
duration = 1.0
warmup = 0
batch-size = 100
rate = 100
restart = 1
restart-after = 0.1
byzantine = "1:bad-shards"
partition = "0,1|2,3@0.1-0.2"
delay = "0>1:2ms~1ms"
bandwidth = "leader:50MB"
drop = "0>1:1e-9"
reset = "0>1:1000s"
slow = "0:1ms@0-0.2"
"""


def section(heading: str) -> str:
    """The page from this heading to the next of the same level or above."""
    level = heading.split(" ")[0]
    after = PAGE.split(f"\n{heading}\n")[1]
    return re.split(rf"^#{{1,{len(level)}}} ", after, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables in it, without headings."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    rules = [number for number, cells in enumerate(lines) if set(cells[0]) == {"-"}]
    return [cells for number, cells in enumerate(lines) if number not in rules and number + 1 not in rules]


def fields(heading: str) -> list[str]:
    """The names in first columns of a section; each is there once."""
    names = [name for cells in rows(section(heading)) for name in re.findall(r"`([^`]+)`", cells[0])]
    assert len(names) == len(set(names)) > 0
    return names


def tables() -> list[str]:
    """The two of "The table": its words, and the columns for each node."""
    return re.findall(r"(?:^\|.*\n)+", section("## The table").split("\n### ")[0], re.MULTILINE)


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Of each thing inside that has no parts, written as on the page."""
    if isinstance(value, dict):
        for name, inside in value.items() or [("NONE", None)]:
            yield from paths(inside, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for inside in value or [None]:
            yield from paths(inside, f"{path}[]")
    else:
        yield path


def mismatch(page: list[str], written: set[str]) -> tuple[list[str], list[str]]:
    """What is on the page and not written, and what is written and not on the page. A part of a name that is in
    capitals stands for any word."""
    patterns = {
        name: re.compile(r"\.".join("[^.]+" if part.isupper() else re.escape(part) for part in name.split(".")))
        for name in page
    }
    unwritten = [name for name, pattern in patterns.items() if not any(map(pattern.fullmatch, written))]
    unnamed = [path for path in written if not any(pattern.fullmatch(path) for pattern in patterns.values())]
    return sorted(unwritten), sorted(unnamed)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a real run, valid or not."""
    home = tmp_path_factory.mktemp("results")
    (home / "m.toml").write_text(MANIFEST)
    ended = run_command("bench", "run", str(home / "m.toml"), "--out", str(home / "out"))
    assert ended.returncode in (0, 1), ended.stderr
    (directory,) = (home / "out" / "runs").iterdir()
    return directory


def in_containers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    image = Image("x", "sha256:1", versions(), "abc")
    monkeypatch.setattr(bench.places.containers, "look_into", lambda name: image)
    monkeypatch.setattr(bench.places.containers, "engine", lambda: "Docker 27, overlay2")
    return ContainersPlace("x").facts()


def on_hosts() -> dict[str, Any]:
    host = Host(name="a", ssh="192.0.2.1")
    place = HostsPlace(Inventory(hosts=[host]), Path("known"), None, False, print)
    link = Link(host, Path("known"), 5.0, lambda *_: None, lambda *_: None)
    place._links, place._assigned, place._facts = [link], [0], {link: {"free_bytes": 1}}
    place._clocks = place._last_clocks = {link: Clock(0.0, 0.0, 0.0)}
    place._checked = {link: {"machine": machine(), "versions": versions()}}
    place._wheel = {"name": "x", "sha256": "0"}
    return place.facts()


def on_a_wan(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """With the emulator that reports more."""
    monkeypatch.setattr(Namespaces, "inside", lambda self, node, function: "cubic")
    forwarder = Forwarder(Plan([], [], [], []))
    forwarder._late.note(1)
    emulation = Emulation(Profile.find("two-regions"), 2)
    emulation.measured = emulation._result({(0, 1): 0.02})
    emulation._links = SimpleNamespace(name="user-space", report=forwarder.report)  # type: ignore[assignment]
    return {"wan": emulation.result()}


@pytest.mark.processes
def test_every_field_of_a_summary_is_named_and_exists(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = [in_containers(monkeypatch), on_hosts(), on_a_wan(monkeypatch)]
    summaries = [json.loads((run / "summary.json").read_bytes()), *map(json.loads, map(json.dumps, places))]
    assert mismatch(fields("## summary.json"), {path for one in summaries for path in paths(one)}) == ([], [])


def test_a_run_that_could_not_start_has_what_the_page_says(tmp_path: Path) -> None:
    write_failed(tmp_path, Experiment.parse({}, "x").runs[0], "port 1 is in use", 1.0)
    text = re.search(r"could not start has only (.*?)\.$", section("## summary.json"), re.DOTALL | re.MULTILINE)
    assert text is not None
    assert json.loads((tmp_path / "summary.json").read_bytes()).keys() == set(re.findall(r"`(\w+)`", text[1]))


@pytest.mark.processes
@pytest.mark.parametrize("name", ["seconds.csv", "epochs.csv", "latency.csv"])
def test_every_column_is_named_and_exists(run: Path, name: str) -> None:
    with (run / name).open(newline="") as file:
        columns = next(csv.reader(file))
    steps = [*(phase.step for phase in find_protocol("honeybadger").phases[1:]), "ledger"]
    names = [one.replace("STEP", step) for one in fields(f"## {name}") for step in (steps if "STEP" in one else [""])]
    assert sorted(columns) == sorted(names)


@pytest.mark.processes
def test_every_event_is_named_and_exists(run: Path) -> None:
    with gzip.open(run / "events.jsonl.gz") as file:
        reported = {json.loads(line)["event"] for line in file}
    named = {name for cells in rows(section("## Other files"))[3:] for name in re.findall(r"`(\w+)`", cells[0])}
    assert {"block", "fault", "usage"} <= reported <= named
    source = "".join(path.read_text() for path in (ROOT / "honeybadger").rglob("*.py"))
    assert [name for name in named if f'"{name}"' not in source] == []


@pytest.mark.processes
def test_every_file_is_named(run: Path) -> None:
    others = rows(section("## Other files"))[:3]
    named = {cells[0].strip("`") for cells in others} | set(re.findall(r"^## (\w+\.(?:json|csv))$", PAGE, re.MULTILINE))
    assert {path.name for path in run.iterdir()} == named
    about_machine = next(cells[1] for cells in others if cells[0] == "`machine.json`")
    assert all(f"`{key}`" in about_machine for key in json.loads((run / "machine.json").read_bytes()))


@pytest.mark.parametrize("protocol", ["honeybadger", "pbft"])
def test_the_steps_are_those_of_the_protocol(protocol: str) -> None:
    told: dict[str, list[str]] = {}
    name = ""
    for cells in rows(section("### Phases")):
        name = cells[0].strip("`") or name
        told.setdefault(name, []).append(cells[1].strip("`"))
    assert told[protocol] == [phase.step for phase in find_protocol(protocol).phases[1:]]
    assert told["all"] == ["ledger"]


def test_every_word_of_the_tables_is_explained(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    print_tables(busy(), 1e-6)
    first, second = capsys.readouterr().out.split("Per node", 1)
    shown = {line.split("│")[1].strip() for line in first.splitlines() if line.startswith("│")} - {""}
    columns = next(line for line in second.splitlines() if line.startswith("┃"))
    words, by_node = ([word for cells in rows(text) for word in cells[0].split(", ")] for text in tables())
    assert sorted(words) == sorted(shown)
    assert by_node == [column.strip() for column in columns.strip("┃").split("┃")]


def test_the_tables_point_to_fields_that_exist() -> None:
    names = fields("## summary.json")
    words, by_node = tables()
    top = {re.split(r"[.\[]", name)[0] for name in names}
    assert {name for cells in rows(words) for name in re.findall(r"`(\w+)`", cells[3])} <= top
    inside = {name.removeprefix("per_node[].") for name in names}
    assert {name for cells in rows(by_node) for name in re.findall(r"`(\w+)`", cells[2])} <= inside


def test_the_units_of_frames_are_those_of_the_page() -> None:
    simulated = (ROOT / "docs" / "simulate.md").read_text(encoding="utf-8").split("\n## Fields\n")[1].split("\n## ")[0]
    sections = [section(f"## {name}") for name in ("summary.json", "seconds.csv", "epochs.csv", "latency.csv")]
    told: dict[str, str] = {}
    for first, said, *_ in rows("\n".join([*sections, simulated])):
        # What is in a list is in no frame. Several names have one unit, or each its own.
        names = [name for name in re.findall(r"`([^`.][^`]*)`", first) if "[]" not in name]
        told |= zip(names, said.split(", ") if ", " in said else [said] * len(names), strict=False)
    assert len(told) > 100
    assert {name: unit(name) for name in told} == told
