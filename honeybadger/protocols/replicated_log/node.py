"""What the runtime asks of every protocol with a replicated log, and all of them answer in the same way."""

from collections.abc import Callable

from honeybadger.protocols.context import Context
from honeybadger.protocols.contract import ConsensusProtocol, HeldBytes
from honeybadger.protocols.replicated_log.log import Entry, Log
from honeybadger.protocols.replicated_log.promise import Promise
from honeybadger.protocols.replicated_log.replication import Replication
from honeybadger.protocols.replicated_log.requests import Requests

#: the name of the timer for which a leader speaks, and how many times it does while others wait for it in vain
HEARTBEAT = "heartbeat"
BEATS = 10


class LogNode(ConsensusProtocol):
    """The log, the promise and the normal case of one node. Who leads, and with which log, is for subclasses to say."""

    def __init__(
        self,
        context: Context,
        timeout_s: float,
        counts: Callable[[int, Entry], bool] = lambda number, entry: True,
        silent_through: int = 0,
    ) -> None:
        """`timeout_s`: how long a leader may be silent; the others as in `Replication`."""
        self._context = context
        self._beat_s = timeout_s / BEATS
        self._log = Log(context.journal, context.first_epoch - 1)
        self._promise = Promise(context.journal, self._log.base, 4 * context.parameters.epoch_window)
        self._replication = Replication(context, self._log, counts, silent_through)
        self._requests = Requests(context, self._replication)

    @property
    def epoch(self) -> int:
        return self._replication.committed + 1

    @property
    def horizon(self) -> int:
        return self._replication.horizon

    @property
    def settled(self) -> int:
        """The newest committed entry stays: the next one is compared with its term."""
        return self._replication.committed - 1

    def skip_to(self, epoch: int) -> None:
        self._replication.skip_to(epoch)
        self._go_on()

    def held_bytes(self) -> HeldBytes:
        held, longest = self._log.held_bytes(), self._context.parameters.max_proposal_bytes
        window = self._context.parameters.epoch_window
        return HeldBytes(held, 3 * window * longest, max(held.values(), default=0), longest)

    def _beat(self) -> None:
        self._replication.beat()
        self._context.timers.set(HEARTBEAT, self._beat_s)

    def _go_on(self) -> None:
        """What has become possible, always in the same order."""
        raise NotImplementedError
