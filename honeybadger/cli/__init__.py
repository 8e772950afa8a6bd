"""The `honeybadger` command: one file per command, loaded when it is used."""

import os

from honeybadger.console.signals import end_as_first_process

# Here, since nothing of the command is imported earlier.
end_as_first_process()
# Nothing here uses numpy's linear algebra, whose idle threads would cost each process 0.1 s of processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
