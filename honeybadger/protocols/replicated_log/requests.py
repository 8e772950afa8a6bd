"""What clients want ordered: a follower forwards it to the leader, and the leader fills batches."""

from honeybadger.protocols.batching.batch import encode_batch
from honeybadger.protocols.batching.forwarder import MOST_FORWARDED, Forwarder, decode_forwarded
from honeybadger.protocols.batching.pool import Pool
from honeybadger.protocols.batching.selection import Selection
from honeybadger.protocols.context import Context
from honeybadger.protocols.replicated_log.messages import Forward, LogFault
from honeybadger.protocols.replicated_log.replication import Replication


class Requests:
    """One node's side of it. `replication` says who leads."""

    def __init__(self, context: Context, replication: Replication) -> None:
        self._context = context
        self._replication = replication
        self._forwarder = Forwarder(context.parameters, context.application)
        self.pool = Pool(context.parameters)
        self._selection = Selection(context, self.pool)

    def start_over(self) -> None:
        """Another leader, or none: what is in no block waits again, and is forwarded again."""
        self._selection.start_over()
        self.pool.keep_only(self._replication.term)
        self._forwarder.start_over()
        self.forward()

    def forward(self) -> None:
        replication = self._replication
        if replication.leader is None or replication.leads:
            return
        # What is committed makes room for more.
        self._forwarder.oldest()
        while len(chunk := self._forwarder.next_chunk()):
            self._context.outbox.send(replication.leader, Forward(0, replication.term, chunk.encode()))

    def handle(self, sender: int, message: Forward) -> None:
        """Keep what a follower wants ordered; it forwards everything again to the next leader."""
        replication, parameters = self._replication, self._context.parameters
        try:
            transactions = decode_forwarded(message.transactions, MOST_FORWARDED, parameters)
        except ValueError as error:
            self._context.outbox.fault(sender, LogFault.BAD_REQUEST, str(error))
            return
        if replication.leads and message.term == replication.term:
            self.pool.add(sender, message.term, transactions)

    def propose(self) -> None:
        """Full batches while others are in progress, and whatever there is when none is."""
        replication, context, parameters = self._replication, self._context, self._context.parameters
        while replication.leads and not context.application.busy:
            in_progress = replication.log.last - replication.committed
            available = self._selection.available
            if in_progress >= parameters.pipeline_depth or not available:
                return
            if in_progress and available < parameters.batch_size:
                return
            transactions = self._selection.select(replication.log.last + 1, replication.committed)
            if not len(transactions):
                return
            replication.propose(encode_batch(context.me, transactions))
