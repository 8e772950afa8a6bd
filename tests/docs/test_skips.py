"""A test that is skipped says what is missing and what to do about it, and the last lines of a run name that."""

import ast
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

TESTS = Path(__file__).parents[1]


def reasons() -> list[tuple[str, str]]:
    """(path, source) of every reason for a skip that is written out where the test is skipped."""
    found = []
    for path in TESTS.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                *("pytest.skip", "pytest.mark.skip", "pytest.mark.skipif", "pytest.importorskip"),
            ):
                given = [keyword.value for keyword in node.keywords if keyword.arg == "reason"]
                given += node.args if ast.unparse(node.func) == "pytest.skip" else []
                found.append((str(path.relative_to(TESTS)), ast.unparse(given[0]) if given else ""))
    return found


def test_every_reason_names_its_remedy() -> None:
    written_out = [(path, reason) for path, reason in reasons() if not reason.isidentifier()]
    assert len(written_out) > 10
    assert not [(path, reason) for path, reason in written_out if ": " not in reason]


def test_the_last_lines_have_one_for_each_remedy(pytester: pytest.Pytester) -> None:
    """Also where other processes ran the tests, as in `make test`."""
    pytester.makeconftest((TESTS / "conftest.py").read_text(encoding="utf-8"))
    pytester.makepyfile(
        """
        import pytest
        @pytest.mark.parametrize("number", range(3))
        def test_hosts(number): pytest.skip("no sshd: apt-get install openssh-server")
        @pytest.mark.skipif(True, reason="no bridges (why: who knows): run as root")
        def test_bridge(): ...
        def test_namespace(): pytest.skip("no namespaces: run as root")
        def test_runs(): ...
        """
    )
    lines = pytester.runpytest_subprocess("-q", "-n", "1").stdout.lines
    assert lines[-3:-1] == [
        "skipped 3, no sshd: apt-get install openssh-server",
        "skipped 2, no bridges (why: who knows) and no namespaces: run as root",
    ]
    assert lines[-1].startswith("1 passed, 5 skipped")
