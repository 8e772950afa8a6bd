"""Requests on their way to the primary, at their limits."""

import random
from itertools import accumulate

import msgspec
from support.pbft.replica import Replica, settings
from support.pbft.requests import forward, relay

from honeybadger.protocols.batching.batch import decode_batch
from honeybadger.protocols.pbft.messages import Forward, PrePrepare
from honeybadger.protocols.pbft.requests import RELAYED
from honeybadger.protocols.pbft.specification import SPECIFICATION
from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.cluster import SimulatedApplication
from honeybadger.transactions import Transactions


def test_what_all_nodes_relayed_is_forwarded_in_messages_that_are_not_too_long():
    """In one message, it was longer than any may be: the new primary closed the connection, again and again."""
    longest = 60_000
    replica = Replica(me=12, nodes=13, max_tx_bytes=longest)
    replica.poke()
    for sender in range(12):
        transactions = [b"%d %d." % (sender, i) + bytes(longest - 100) for i in range(RELAYED)]
        for start in range(0, RELAYED, 4):
            replica.hear(sender, relay(transactions[start : start + 4]))
    assert len(replica.protocol._requests.relayed) == 12 * RELAYED
    replica.sent.clear()
    replica.protocol._requests.start_over()
    forwarded = replica.said(Forward)
    assert sum(len(Transactions.decode(message.transactions)) for message in forwarded) == 12 * RELAYED
    limit = SPECIFICATION.longest_message(settings(max_tx_bytes=longest), Quorums(13, 4))
    assert max(len(msgspec.msgpack.encode(message)) for message in forwarded) <= limit


class Sized(SimulatedApplication):
    """Minds how many bytes it hands out, as a node's mempool does."""

    def reserve(self, label, count, max_bytes):
        ends = accumulate(len(transaction) + 5 for transaction in list(self.waiting)[:count])
        return super().reserve(label, sum(end <= max_bytes - 5 for end in ends), max_bytes)


def test_large_transactions_of_the_primary_do_not_push_out_those_of_others():
    """Shares were counted in transactions only, so whoever came first filled all the bytes of every batch."""
    longest = 10_000
    application = Sized(8, random.Random(0))
    replica = Replica(me=0, application=application, max_tx_bytes=longest, max_proposal_bytes=2 * longest + 100)
    for i in range(40):
        application.waiting[b"own %d." % i + bytes(longest - 100)] = None
    theirs = [b"theirs %d." % i + bytes(longest - 100) for i in range(3)]
    replica.hear(1, forward(0, theirs))
    proposed = [decode_batch(m.batch, replica.context.parameters, 4) for m in replica.said(PrePrepare)]
    assert len(proposed) == 2, "as many as may be in progress"
    assert set(theirs) & {transaction for _, batch in proposed for transaction in batch}
