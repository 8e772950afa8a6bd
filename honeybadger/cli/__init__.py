"""The `honeybadger` command: one file per command, loaded when it is used."""

from honeybadger.cli.signals import end_as_first_process

# Here, since nothing of the command is imported earlier.
end_as_first_process()
