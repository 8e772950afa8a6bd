"""Common coin of one agreement round: one unpredictable bit, the same at every correct node.

f+1 valid shares of the coin's identity make it, so f faulty nodes cannot predict it before one correct node has
released its share. The suite of the chain says how (`CoinKey` in `crypto.suite`).

The identity binds the protocol version, the chain (hence keys and parameters), the epoch, the proposer and the
round: no two coins of a chain's life are related. A public implementation signs only the round number, so its coins
repeat.

Source: Cachin, Kursawe and Shoup (2000) for the construction; Miller et al. (CCS 2016), section 4.4 and appendix C.
Departure: shares are not verified as they come. The suite finds the senders of bad ones when it combines f+1, and
prefers the shares of others from then on (`suspects`).
"""

from collections.abc import Callable

import msgspec

from crypto.dealer import PublicKeys, SecretKeys
from honeybadger.protocols.context import Outbox
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault

_encoder = msgspec.msgpack.Encoder()


def coin_identity(chain_id: bytes, epoch: int, proposer: int, round_number: int) -> bytes:
    """The message that the coin belongs to."""
    return _encoder.encode(("coin", 1, chain_id, epoch, proposer, round_number))


class CommonCoin:
    """The coin of (epoch, proposer, round). Shares may arrive before the own one is released."""

    def __init__(
        self,
        me: int,
        identity: bytes,
        public_keys: PublicKeys,
        secret_keys: SecretKeys,
        suspects: set[int],
        outbox: Outbox,
        on_value: Callable[[int], None],
        name: str = "",
    ) -> None:
        self._me = me
        self._identity = identity
        self._public = public_keys.coin
        self._secret = secret_keys.coin
        self._suspects = suspects
        self._outbox = outbox
        self._on_value = on_value
        self._name = name
        #: sender → share, without those that were found to be bad
        self._shares: dict[int, bytes] = {}
        #: who has had its one share, bad or good
        self._seen: set[int] = set()
        #: whether the own share is out: before that, f faulty nodes are a share short of knowing the coin
        self.released = False
        self.value: int | None = None

    def release(self) -> bytes:
        """This node's share. The caller sends it; the coin may become known at once."""
        share = self._secret.sign_share(self._identity)
        self.released = True
        self._seen.add(self._me)
        self._shares[self._me] = share
        return share

    def handle_share(self, sender: int, share: bytes) -> None:
        """Count the first share of each sender; the index is the authenticated sender's, never the message's."""
        if sender in self._seen:
            return
        self._seen.add(sender)
        if self.value is None:
            self._shares[sender] = share
            self.try_combine()

    def try_combine(self) -> None:
        """Combine once f+1 shares are there and the own one was released."""
        # Before the own release there is nothing to do with the coin, so the work would be wasted.
        if not self.released or self.value is not None or len(self._shares) < self._public.threshold:
            return
        value, bad = self._public.toss(self._identity, self._shares, self._suspects)
        for node in sorted(bad):
            self._shares.pop(node, None)
            self._suspects.add(node)
            self._outbox.fault(node, HoneyBadgerFault.BAD_COIN_SHARE, self._name)
        if value is not None:
            self.value = value
            self._shares.clear()
            self._on_value(value)
