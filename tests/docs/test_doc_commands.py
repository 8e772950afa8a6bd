"""The commands in the blocks of README, docs/, docker/README.md and bench/experiments/ exist, and tests run them.

Each is parsed: options and arguments exist, and their values are of the right form.
"""

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from support.doc_blocks import save_vote_zero

from bench.plan.build_run import build_run
from crypto.suites import installed_suites
from honeybadger.cli.main import cli
from honeybadger.cli.options import given
from honeybadger.cluster.errors import ClusterError

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / "README.md", ROOT / "docker" / "README.md"),
    *(page for folder in ("docs", "bench/experiments") for page in sorted((ROOT / folder).glob("*.md"))),
]


def blocks(page: Path) -> Iterator[str]:
    """Blocks for a shell: indented, or fenced without the name of another language."""
    text = page.read_text(encoding="utf-8")
    for language, fenced, indented in re.findall(r"^```(\w*)\n(.*?)^```$|((?:^    \S.*\n)+)", text, re.M | re.S):
        if language in ("", "sh"):
            yield (fenced or indented).replace("\\\n", " ").replace(".venv/bin/", "")


def commands(page: Path) -> Iterator[str]:
    """Every `honeybadger …`, `make …` and `python -m …` of the page, without redirections."""
    for line in (line for block in blocks(page) for line in block.splitlines()):
        if not re.search(r"(^|[;&|] ?|= )(honeybadger|make|python -m) ", line.strip().removeprefix("$ ")):
            continue
        words = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars=True)
        words.whitespace_split = True
        part: list[str] = []
        for word in [*words, ";"]:
            if word not in ("|", "||", "&&", ";", "&"):
                part.append(word)
                continue
            end = next((i for i, each in enumerate(part) if set(each) <= set("();<>|&")), len(part))
            begin = next((i for i, each in enumerate(part) if not re.fullmatch(r"[A-Z_]+=.*", each)), end)
            command, part = part[begin:end], []
            if command[:1] in (["honeybadger"], ["make"]) or command[:2] == ["python", "-m"]:
                yield shlex.join(command)


COMMANDS = sorted({command for page in PAGES for command in commands(page)})


def parse(command: click.Command, words: list[str], parent: click.Context | None = None) -> None:
    """UsageError unless the command takes these words; files need not exist."""
    context = click.Context(command, parent=parent, info_name=command.name)
    if isinstance(command, click.Group):
        name, found, rest = command.resolve_command(context, words)
        assert found is not None, name
        parse(found, rest, context)
        return
    # The protocol of the example need not be installed.
    if command.name == "local" and "sequencer" not in words:
        with command.make_context("local", words, parent) as context:
            build_run(given(context))
        return
    values, rest, _ = command.make_parser(context).parse_args(words)
    assert not rest, f"too many words: {rest}"
    for parameter in command.params:
        value = values.get(parameter.name or "")
        is_given = isinstance(value, str | tuple | list)
        assert is_given or not parameter.required, f"{parameter.name} is missing"
        if is_given and not isinstance(parameter.type, click.Path | click.File):
            parameter.type_cast_value(context, value)


@pytest.mark.parametrize("command", COMMANDS)
def test_it_parses(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    # The reader has saved it in the current directory.
    monkeypatch.syspath_prepend(save_vote_zero(tmp_path).parent)
    program, *words = shlex.split(command)
    if program == "make":
        makefile = (ROOT / "Makefile").read_text().replace("$(VENV)", ".venv")
        assert f"\n{words[0]}:" in makefile
    elif program == "python":
        spec = importlib.util.find_spec(words[1])
        assert spec is not None and spec.origin is not None
        source = Path(spec.origin).read_text()
        assert all(f'"{word}"' in source for word in words if word.startswith("--"))
    elif words != ["local", "--help"]:
        if "--suite" in words and words[words.index("--suite") + 1] not in [suite.name for suite in installed_suites()]:
            pytest.skip("no charm: make charm")
        parse(cli, words)
    for path in (word for word in words if word.startswith(("bench/", "docs/"))):
        assert (ROOT / path).exists(), path


def test_a_mistake_is_noticed() -> None:
    for words in (
        ["local", "--no-such-option"],
        ["ledger", "prove", "data"],
        ["local", "-n", "four"],
        ["local", "--byzantine", "1:lies"],
        ["locale"],
    ):
        with pytest.raises((click.UsageError, ClusterError, AssertionError)):
            parse(cli, words)


def test_a_test_of_real_processes_runs_each() -> None:
    """Perhaps with other values; what `make` and `python -m` begin with is run by hand."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests" / "end_to_end").glob("test_*.py"))
    left = set()
    for _, *words in (shlex.split(command) for command in COMMANDS if command.startswith("honeybadger")):
        group = isinstance(cli.get_command(click.Context(cli), words[0]), click.Group)
        name = ", ".join(f'"{word}"' for word in words[: 1 + group])
        if f"({name}," not in tests and f"({name})" not in tests:
            left.add(name)
    assert not left
