"""What `honeybadger local` shows while it runs: live progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from rich.live import Live
from rich.text import Text

from honeybadger.console.plain import PlainConsole

if TYPE_CHECKING:
    from bench.run.progress import Progress


class Display:
    """Context manager around a run; `show` may be called as often as one likes."""

    def __init__(self, stream: TextIO) -> None:
        self._console = PlainConsole(file=stream)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._last_line = ""
        self._page_shown = False

    def __enter__(self) -> Display:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show the present state. Not on a terminal: one line per phase, and nothing that would fill a log file."""
        if self._console.is_terminal:
            self.show_live(progress)
            return
        if progress.page and not self._page_shown:
            self._page_shown = True
            self.say(f"live page: {progress.page}")
        line = progress.phase + (f" (nodes {progress.crashed} killed)" if progress.crashed else "")
        line += f" ({', '.join(progress.link_faults)})" if progress.link_faults else ""
        if line != self._last_line:
            self._last_line = line
            self._console.print(line)

    def show_live(self, progress: Progress) -> None:
        """Show the present state on a terminal, nothing elsewhere."""
        if self._console.is_terminal:
            self._live.update(Text(self._line(progress)))

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, soft_wrap=True)

    @staticmethod
    def _line(progress: Progress) -> str:
        if not progress.elapsed_s:
            return f"{progress.phase} …"
        line = (
            f"{progress.phase:<10} {min(progress.elapsed_s, progress.total_s):5.1f} / {progress.total_s:.0f} s  "
            f"{progress.committed:>11,} transactions  {progress.rate_tx_per_s:>8,.0f} tx/s"
        )
        more = {"killed": progress.crashed, "restarts": progress.restarts, "Byzantine": progress.byzantine}
        more |= {"links": ", ".join(progress.link_faults), "page": progress.page}
        return line + "".join(f"  {name}: {value}" for name, value in more.items() if value)
