"""The `honeybadger` command: one file per command, loaded when it is used."""
