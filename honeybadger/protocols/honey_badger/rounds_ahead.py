"""What one binary agreement keeps of rounds that this node has not reached.

Nobody knows yet whether any correct node will ever be there, so it must be cheap: a byte per sender and round,
whatever the senders say, and the coin shares. With N nodes and a window of W rounds, C of them with a coin, that is at
most W·N bytes of votes and, of each sender, C shares of some 300 bytes with all that Python adds.
"""

from collections.abc import Iterable

#: where a sender's byte holds its votes: two bits each
BVAL, AUX, CONF, AUX2 = 0, 2, 4, 6


class RoundsAhead:
    """Votes and coin shares by round and sender. Votes are sets of bits as masks: {0} = 1, {1} = 2, {0, 1} = 3."""

    def __init__(self, nodes: int) -> None:
        self._nodes = nodes
        #: a row per round from 0 on, as far as any sender has spoken
        self._votes = bytearray()
        #: round → sender → coin share, for the rounds that have a coin
        self._shares: dict[int, dict[int, bytes]] = {}

    def add_bval(self, sender: int, number: int, value: int) -> int:
        """Keep BVAL(value), and BVALs of other values as well; returns how many nodes have sent it.

        In a table of BVALs alone, values may go up to 7.
        """
        bit = 1 << BVAL << value
        self._votes[self._place(sender, number)] |= bit
        return sum(byte & bit != 0 for byte in self._row(number))

    def bval_senders(self, number: int, value: int) -> int:
        """Who has sent BVAL(value) in the round, as a set of bits."""
        bit = 1 << BVAL << value
        return sum(1 << sender for sender, byte in enumerate(self._row(number)) if byte & bit)

    def add_once(self, sender: int, number: int, vote: int, mask: int) -> bool:
        """Keep the sender's first `vote` (AUX, CONF or AUX2) of the round; False if that was another one."""
        place = self._place(sender, number)
        known = self._votes[place] >> vote & 3
        if not known:
            self._votes[place] |= mask << vote
        return known in (0, mask)

    def add_share(self, sender: int, number: int, share: bytes) -> None:
        """Keep the sender's first coin share of the round."""
        self._shares.setdefault(number, {}).setdefault(sender, share)

    def senders(self, number: int, vote: int) -> list[int]:
        """By mask 0 … 3: who has sent exactly that as `vote` in the round, as a set of bits."""
        found = [0, 0, 0, 0]
        for sender, byte in enumerate(self._row(number)):
            found[byte >> vote & 3] |= 1 << sender
        return found

    def take_shares(self, number: int) -> Iterable[tuple[int, bytes]]:
        """(sender, share) of the round, which is forgotten."""
        return self._shares.pop(number, {}).items()

    def drop_shares(self) -> None:
        """No coin is needed any more."""
        self._shares.clear()

    def _row(self, number: int) -> bytearray:
        return self._votes[number * self._nodes : (number + 1) * self._nodes]

    def _place(self, sender: int, number: int) -> int:
        missing = (number + 1) * self._nodes - len(self._votes)
        if missing > 0:
            self._votes.extend(bytes(missing))
        return number * self._nodes + sender
