"""What a simulated node says in a tick: bundled as a real node's `Peers` does, and counted."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

from honeybadger.network.channel import SEAL_BYTES
from honeybadger.network.codec import HEADER_BYTES, Codec, join
from honeybadger.protocols.wire import Message
from honeybadger.simulation.virtual_time.payload import Payload

#: what a frame has besides its entry
FRAMING_BYTES = HEADER_BYTES + SEAL_BYTES + len(join([b"", b""]))


class Frame(NamedTuple):
    """Encoded messages of one epoch on their way to one node; `messages` are the objects themselves. `charged`: bytes
    of the entry, with all payload."""

    epoch: int
    data: bytes
    messages: tuple[Message, ...]
    charged: int

    @property
    def size(self) -> int:
        """Bytes on the wire."""
        return self.charged + FRAMING_BYTES


class VirtualOutbox:
    """Implements `Outbox`. `fault`: as there. `loopback`: messages to oneself, in order."""

    def __init__(
        self, me: int, nodes: int, codec: Codec, payload: Payload, fault: Callable[[int, StrEnum, str], None]
    ) -> None:
        self._me = me
        self._peers = [node for node in range(nodes) if node != me]
        self._codec = codec
        self._payload = payload
        self.fault = fault
        self.loopback: deque[Message] = deque()
        self._common: defaultdict[int, list[Message]] = defaultdict(list)
        self._private: dict[int, defaultdict[int, list[Message]]] = {peer: defaultdict(list) for peer in self._peers}
        self.messages_sent: Counter[str] = Counter()
        self.bytes_sent: Counter[str] = Counter()

    def broadcast(self, message: Message) -> None:
        self.loopback.append(message)
        self._common[message.epoch].append(message)

    def send(self, node: int, message: Message) -> None:
        if node == self._me:
            self.loopback.append(message)
        else:
            self._private[node][message.epoch].append(message)

    def take(self) -> tuple[list[Frame], dict[int, list[Frame]]]:
        """What was said since the last call: frames for everybody, and those for each peer alone."""
        common = [frame for epoch in sorted(self._common) for frame in self._frames(epoch, self._common[epoch], False)]
        self._common.clear()
        private = {}
        for peer, epochs in self._private.items():
            if epochs:
                private[peer] = [
                    frame for epoch in sorted(epochs) for frame in self._frames(epoch, epochs[epoch], True)
                ]
                epochs.clear()
        return common, private

    def _frames(self, epoch: int, messages: list[Message], private: bool) -> Iterator[Frame]:
        receivers = 1 if private else len(self._peers)
        for data, held in self._codec.entries(messages):
            for message, size in held:
                name = type(message).__name__
                self.messages_sent[name] += 1
                self.bytes_sent[name] += self._payload.size(size, (message,)) * receivers
            said = tuple(message for message, _ in held)
            yield Frame(epoch, data, said, self._payload.size(len(data), said))
