"""One direction of a link: does a packet arrive, and when?

The model is that of `tc netem` with a rate (see `netem.py`), so that both emulators emulate the same:

- a packet is lost with the given probability, whatever its size: a large segment that the kernel has not cut up yet is
  one packet;
- it takes the delay ± jitter (uniform), then the time that the rate needs for its bytes, and never overtakes an earlier
  packet;
- a packet that does not fit into the room is dropped. The room is netem's, but in bytes.

The time, in nanoseconds, is passed in.
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

P = TypeVar("P")


class Shape(NamedTuple):
    """Properties of a direction: `loss` is a probability, `room_bytes` the most that it holds."""

    delay_ns: int
    jitter_ns: int
    loss: float
    ns_per_byte: float
    room_bytes: int


class LinkModel(Generic[P]):
    """The packets under way in one direction, in order. `draw`: uniform in [0, 1).

    `lost`, `dropped`: how many packets the loss took, and how many did not fit.
    """

    def __init__(self, shape: Shape, draw: Callable[[], float] = random.random) -> None:
        self._shape = shape
        self._draw = draw
        self._under_way: deque[tuple[int, P, int]] = deque()
        self._last_ns = 0
        self.bytes = 0
        self.lost = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._under_way)

    def put(self, now_ns: int, packet: P, size: int) -> bool:
        """Send `packet`, which has `size` bytes on the wire; returns whether it will arrive."""
        shape = self._shape
        if shape.loss and self._draw() < shape.loss:
            self.lost += 1
            return False
        if self.bytes + size > shape.room_bytes:
            self.dropped += 1
            return False
        arrives = now_ns + shape.delay_ns
        if shape.jitter_ns:
            arrives += round((2 * self._draw() - 1) * shape.jitter_ns)
        self._last_ns = max(self._last_ns, arrives) + round(size * shape.ns_per_byte)
        self._under_way.append((self._last_ns, packet, size))
        self.bytes += size
        return True

    @property
    def due_ns(self) -> int | None:
        """When the next packet arrives; None if none is under way."""
        return self._under_way[0][0] if self._under_way else None

    def take(self) -> P:
        """The next packet, whose time has come. IndexError if none is under way."""
        _, packet, size = self._under_way.popleft()
        self.bytes -= size
        return packet
