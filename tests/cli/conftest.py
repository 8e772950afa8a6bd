"""What tests of commands share."""

import sys

import pytest

from honeybadger.cli.main import main


@pytest.fixture
def run(monkeypatch, capsys):
    """`honeybadger …` in this process: status, output, errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["honeybadger", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return run
