"""The Python in docs/extend.md runs as it stands, from top to bottom; its TOML is what the example has. The bytes that
docs/how-it-works.md shows are what goes over the wire. docs/experiments.md shows the manifest that it names."""

import re
import tomllib
from pathlib import Path

from support.doc_blocks import blocks

from bench.plan.experiment import Experiment
from honeybadger.network.codec import HEADER_BYTES, Codec
from honeybadger.protocols.registry import find_protocol

ROOT = Path(__file__).parents[2]
HOW_IT_WORKS = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")


def test_the_python_runs() -> None:
    names: dict[str, object] = {}
    for block in blocks("python"):
        exec(compile(block, "extend.md", "exec"), names)
    assert len(blocks("python")) == 5


def test_the_toml_is_that_of_the_example_and_a_sound_experiment() -> None:
    protocol, strategy, experiment = map(tomllib.loads, blocks("toml"))
    points = tomllib.loads((ROOT / "examples/sequencer/pyproject.toml").read_text())["project"]["entry-points"]
    assert points == {**protocol["project"]["entry-points"], **strategy["project"]["entry-points"]}
    assert len(Experiment.parse(experiment, "extend.md").runs) == 2


def test_the_entry_decodes_to_what_is_said_of_it() -> None:
    example = re.search(r"^ 92 .*\n(?: {3}95 .*\n){2}", HOW_IT_WORKS, re.MULTILINE)
    assert example is not None
    data = bytes.fromhex("".join(re.findall(r"^ +((?:[0-9a-f]{2} )+)", example[0], re.MULTILINE)))
    messages = Codec(find_protocol("honeybadger").message_types, 1000).decode(data)
    said = [(type(m).__name__, m.epoch, m.proposer, m.round, m.value) for m in messages]  # type: ignore[attr-defined]
    assert said == [("BVal", 7, 2, 0, True), ("Aux", 7, 2, 0, True)]
    assert f"is {len(data)} bytes long" in HOW_IT_WORKS


def test_the_header_has_the_length_that_is_said() -> None:
    assert f"header             {HEADER_BYTES} bytes" in HOW_IT_WORKS


def test_the_manifest_is_the_file_and_has_as_many_runs_as_is_said() -> None:
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    file = ROOT / "bench" / "experiments" / "hb-vs-pbft.toml"
    assert f"[{file.name}](../bench/experiments/{file.name})" in page
    assert tomllib.loads(shown) == tomllib.loads(file.read_text(encoding="utf-8"))
    assert f"= {len(Experiment.parse(tomllib.loads(shown), file.name).runs)} runs" in page
