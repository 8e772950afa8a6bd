"""Reliable broadcast of Bracha, without coding: everybody sends the whole value to everybody, "bracha".

Guarantee, thresholds: see `reliable_broadcast`. For study: it shows what coding saves.

VAL (Bracha's "initial") and ECHO have the whole value, where others have a shard. Their root is the value's hash, and
there is no branch. READY has the hash only. Bracha's READY has the value, too, but with that each node would send it
N-1 times more for nothing: what the value is was settled when its hash had N-f votes, and the N-2f correct ones among
these have sent it to everybody. That is f+1 nodes at least, so this node gets the value f+1 times.

There is nothing to check before delivery: every value is one that a proposer may broadcast, and each is compared with
its hash when it comes. So nobody ever aborts.

Bounds. Which value will be delivered is not known before READYs tell, and each of N nodes may send another one. So
this node keeps the value of its VAL, and those that f+1 nodes have sent: N/(f+1) at most, which is 3 or fewer if f is
as large as N allows. The one that is delivered is among them, as f+1 correct nodes send it.

Bytes that N nodes send each other, for a value of v bytes: (N-1)v in VALs and N(N-1)v in ECHOs.

Source: Bracha, "Asynchronous Byzantine Agreement Protocols" (1987), section 3. Departures: hashes in READY, and N-f.
"""

from crypto.erasure import ErasureCode
from crypto.merkle import leaf_digest
from honeybadger.protocols.honey_badger.messages import Echo, HoneyBadgerFault, Val
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast


def hash_of(value: bytes) -> bytes:
    """What stands for a value: the root of a tree with one leaf, 32 bytes."""
    return leaf_digest(1, 0, value)


class Bracha(ReliableBroadcast):
    """ECHO with the whole value."""

    def _prepare(self) -> None:
        #: hash → value
        self._values: dict[bytes, bytes] = {}

    @staticmethod
    def shard_limit(code: ErasureCode, longest_value: int) -> int:
        return longest_value

    @property
    def held_bytes(self) -> int:
        return sum(map(len, self._values.values()))

    @property
    def most_held(self) -> int:
        return (1 + self._quorums.nodes // self._quorums.weak) * self._longest_shard

    def handle_echo(self, sender: int, message: Echo) -> None:
        """Taken if the value has this hash."""
        if self.delivered or self._contradicts(sender, message) or sender in self._vote_root:
            return
        if self._valid_leaf(sender, sender, message) is None:
            return
        if self._vote_count.get(message.root, 0) + 1 == self._quorums.weak:
            self._values[message.root] = message.shard
        self._count(sender, message.root)

    def _disperse(self, value: bytes) -> Val:
        root = hash_of(value)
        # It need not be hashed again when it comes back.
        self._values[root] = value
        val = Val(self._epoch, self._proposer, root, b"", value)
        self._outbox.broadcast(val)
        return val

    def _own_leaf(self, shard: bytes) -> bytes:
        return hash_of(shard)

    def _valid_leaf(self, sender: int, holder: int, message: Val | Echo) -> bytes | None:
        value = message.shard
        if len(value) > self._longest_shard:
            self._fault(sender, HoneyBadgerFault.BAD_SHARD_LENGTH, str(len(value)))
            return None
        known = self._values.get(message.root)
        # Comparing bytes is far cheaper than hashing them.
        is_it = value == known if known is not None else hash_of(value) == message.root
        if message.branch or not is_it:
            self._fault(sender, HoneyBadgerFault.BAD_BRANCH, type(message).__name__.upper())
            return None
        return message.root

    def _store(self, holder: int, echo: Echo, digest: bytes) -> None:
        self._values[echo.root] = echo.shard

    def _restore(self, root: bytes) -> bytes | None:
        return self._values.get(root)

    def _forget(self) -> None:
        self._values.clear()
