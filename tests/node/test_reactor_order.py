"""What a tick does after what: the disk hears of votes before the network does, and of blocks after votes."""

from __future__ import annotations

from typing import Any

from gevent.event import Event

from honeybadger.node.reactor import Reactor


class Recorder:
    """Stands for everything that a reactor drives; notes what is called, and stops it after one tick."""

    horizon = 4

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.loopback: list[Any] = []
        self.reactor: Any = None

    def connections_changed(self) -> None:
        self.calls.append("connections")

    def receive(self) -> None:
        self.calls.append("receive")

    def serve(self) -> bool:
        self.calls.append("clients")
        return False

    def poke(self) -> None:
        self.calls.append("poke")

    def flush(self, horizon: int, durable: int) -> None:
        self.calls.append(f"flush {horizon} {durable}")

    def flushed(self) -> None:
        self.calls.append("flushed")
        self.reactor.stop()

    def owes_announcements(self, horizon: int, durable: int) -> bool:
        return False


def test_blocks_may_be_written_when_the_votes_of_the_tick_have_left() -> None:
    fake: Any = Recorder()
    wake = Event()
    fake.reactor = Reactor(
        0,
        fake,
        lambda sender, message: None,
        fake,
        fake,
        lambda: fake.calls.append("each tick"),
        fake.flushed,
        lambda: 3,
        lambda: True,
        lambda: None,
        wake,
    )
    fake.reactor.run()
    assert fake.calls == ["each tick", "connections", "receive", "clients", "poke", "flush 4 3", "flushed"]
