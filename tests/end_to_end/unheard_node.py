"""A node that nobody listens to once it is up: `python unheard_node.py node --cluster …`.

The reader of its standard error goes when it has read that the node serves HTTP.
"""

import os
import threading

from honeybadger.cli.main import main


def listen(descriptor: int) -> None:
    """Read until the node is up, and leave."""
    said = b""
    while b"HTTP on" not in said:
        said += os.read(descriptor, 4096)
    os.close(descriptor)


if __name__ == "__main__":
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)
    threading.Thread(target=listen, args=(reading,), daemon=True).start()
    main()
