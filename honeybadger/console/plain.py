"""Tables and lines for people. What they show comes from manifests, results and other nodes: it is text and no more."""

from typing import Any

from rich.console import Console
from rich.text import Text


class PlainConsole(Console):
    """rich's console without markup (`[fe80::1]`), emoji (`fd00:a:b`) and colours by guess.

    Nothing but printable characters and line ends reaches the terminal.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Every text that is shown, also in a table, comes by here."""
        return super().render_str("".join(c if c.isprintable() or c == "\n" else "?" for c in text), **settings)
