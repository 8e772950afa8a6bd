"""What --help says: a line for each subcommand, and environment variables only of the options that have one."""

import pytest


@pytest.mark.parametrize("group", ["", "bench", "ledger", "cluster"])
def test_each_subcommand_has_one_whole_line(run, monkeypatch, group):
    monkeypatch.setenv("COLUMNS", "80")
    lines = run(*group.split(), "--help")[1].partition("Commands:\n")[2].splitlines()
    assert lines
    for line in lines:
        # The second line of a description would begin further right.
        assert line[:2] == "  " != line[2:4] and line.endswith(".") and not line.endswith("...")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("local", "Every option but --config is also an environment variable: --"),
        (
            "bench run",
            "Every option but --out, --keep, --watch, --dry-run and --simulate is also an environment variable: "
            "--known-hosts is HONEYBADGER_KNOWN_HOSTS. A flag wins over it.",
        ),
        ("cluster load", "Every option but --json is also"),
    ],
)
def test_it_names_the_environment_variables_that_there_are(run, command, says):
    assert says in " ".join(run(*command.split(), "--help")[1].split())


@pytest.mark.parametrize("command", ["bench report", "ledger show"])
def test_no_variable_is_promised_where_no_option_has_one(run, command):
    assert "environment variable" not in run(*command.split(), "--help")[1]
