"""docs/scenarios.md and the tests agree on which test holds which scenario."""

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "scenarios.md").read_text(encoding="utf-8")
ROWS = {int(row[1]): row[0] for row in re.finditer(r"^\| (\d+) \|.*$", PAGE, re.MULTILINE)}
LISTED = set(re.findall(r"`([\w/]+\.py::\w+)`", PAGE))


def numbers(text: str) -> set[int]:
    """Those after the word "scenario": "Scenarios 1 to 6 and 37" are seven."""
    found: set[int] = set()
    for mention in re.findall(r"\bscenarios?((?:[\s,]|and|to|\d)+)", text, re.IGNORECASE):
        for first, last in re.findall(r"(\d+)(?:\s+to\s+(\d+))?", mention):
            found |= set(range(int(first), int(last or first) + 1))
    return found


@cache
def definitions() -> list[tuple[str, str, str]]:
    """(path, name, docstring) of every function and class, and of every name that is assigned, at the top of a test."""
    found = []
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.append((str(path.relative_to(TESTS)), node.name, ast.get_docstring(node) or ""))
            elif isinstance(node, ast.Assign):
                found += [(str(path.relative_to(TESTS)), ast.unparse(target), "") for target in node.targets]
    return found


def test_numbers_are_in_order_and_used_once() -> None:
    assert [int(number) for number in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)] == list(range(1, len(ROWS) + 1))
    assert all("`" in row.split("|")[4] or "no test" in row.split("|")[4] for row in ROWS.values())


def test_every_listed_test_exists() -> None:
    there = {f"{path}::{name}": name for path, name, _ in definitions()}
    missing = {
        test: [other for other, name in there.items() if name == test.split("::")[1]] for test in LISTED - there.keys()
    }
    assert not missing, "docs/scenarios.md names tests that do not exist; tests of the same name, if any, are given"


def test_every_number_in_a_comment_is_in_the_table() -> None:
    unknown = {
        str(path.relative_to(TESTS)): strange
        for path in TESTS.rglob("*.py")
        if path != Path(__file__) and (strange := numbers(path.read_text(encoding="utf-8")) - ROWS.keys())
    }
    assert not unknown


def test_a_test_that_names_a_scenario_is_listed_beside_it() -> None:
    left_out = [
        f"{number}: {path}::{name}"
        for path, name, docstring in definitions()
        for number in numbers(docstring)
        if path != "docs/test_doc_scenarios.py" and f"`{path}::{name}`" not in ROWS.get(number, "")
    ]
    assert not left_out
