"""The codec of a simulated node: frames are encoded once for all receivers, and their bytes have a price.

Where work is priced by the table, an entry is also decoded once for all receivers: no node ever changes a message, so
they may share the objects. Where work is measured, each node decodes for itself.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from honeybadger.network.channel import SEAL_BYTES
from honeybadger.network.codec import HEADER_BYTES, Codec, WireError, join
from honeybadger.protocols.wire import Message
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Node

#: what a frame has besides its entries: a header, a seal, and the lengths of two parts
FRAMING_BYTES = HEADER_BYTES + SEAL_BYTES + len(join([b"", b""]))
#: rough memory that is spent on remembered entries: of each, some times its bytes, because small messages are larger
#: as objects, and a little more
REMEMBERED_BYTES, TIMES, ENTRY_BYTES = 32 << 20, 4, 512


class Decoded:
    """The messages of the latest entries, for all nodes of a cluster."""

    def __init__(self) -> None:
        self._messages: OrderedDict[bytes, list[Message]] = OrderedDict()
        self._bytes = 0
        self.get = self._messages.get

    def put(self, entry: bytes, messages: list[Message]) -> None:
        self._messages[entry] = messages
        self._bytes += TIMES * len(entry) + ENTRY_BYTES
        while self._bytes > REMEMBERED_BYTES:
            oldest, _ = self._messages.popitem(last=False)
            self._bytes -= TIMES * len(oldest) + ENTRY_BYTES


class ChargedCodec(Codec):
    """Charges `meter` by `table`, and all sizes as `payload` says. `decoded`: what all nodes share; None if each
    decodes for itself, and then `payload` is carried as it is."""

    def __init__(
        self,
        types: Sequence[type[Message]],
        longest: int,
        limits: Mapping[type[Message], Mapping[str, int]],
        meter: Meter,
        table: Node,
        payload: Payload,
        decoded: Decoded | None,
    ) -> None:
        super().__init__(types, longest, limits)
        self._meter = meter
        self._table = table
        self._payload = payload
        self._decoded = decoded

    def charged_size(self, entry: Any) -> int:
        """The bytes that an entry counts for wherever its size has a price or takes time: here, and on all links."""
        if self._decoded is None or self._payload.bundle == 1:
            return len(entry)
        try:
            return self._payload.size(len(entry), self._remembered(entry, self._decoded))
        except WireError:
            # A greeting, or a liar's garbage.
            return len(entry)

    def frame_size(self, parts: Sequence[bytes]) -> int:
        """The same of a whole frame, sealed: a header, and entries or a greeting."""
        return FRAMING_BYTES + sum(map(self.charged_size, parts[1:]))

    def messages(self, parts: Sequence[bytes]) -> list[Message]:
        """All in a frame, without a price; none in a greeting or in garbage."""
        found: list[Message] = []
        for entry in parts[1:]:
            with suppress(WireError):
                found += super().decode(entry) if self._decoded is None else self._remembered(entry, self._decoded)
        return found

    def entries(self, messages: Any) -> Any:
        for entry, held in super().entries(messages):
            self._meter.work(self._table.encode.of(self.charged_size(entry)))
            yield entry, [(message, self._payload.size(size, (message,))) for message, size in held]

    def decode(self, data: Any) -> list[Message]:
        self._meter.work(self._table.decode.of(self.charged_size(data)))
        return super().decode(data) if self._decoded is None else self._remembered(data, self._decoded)

    def _remembered(self, entry: bytes, decoded: Decoded) -> list[Message]:
        messages = decoded.get(entry)
        if messages is None:
            messages = super().decode(entry)
            decoded.put(entry, messages)
        return messages
