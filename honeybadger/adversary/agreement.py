"""Attacks on binary agreement and the common coin."""

from collections.abc import Sequence

from msgspec.structs import replace

from honeybadger.adversary.base import Adversary
from honeybadger.adversary.bounded import Recent
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.common_coin import coin_identity
from honeybadger.protocols.honey_badger.messages import Aux, Aux2, BVal, BVal2, CoinShare, Conf, Term
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.wire import Message


class EquivocateVotes(Adversary):
    """Different votes and TERMs to different nodes; in every second instance, both to each node.

    With both, the contradiction follows at once (two AUX, three CONF, two TERM to one node). Otherwise a node's
    votes depend on its index only, and TERM goes out with the first AUX, long before anything is decided.

    Correct nodes must count the first AUX, CONF, AUX2 and TERM of a sender and agree. EQUIVOCATION for the second ones;
    several BVALs and BVAL2s are legal, and votes that differ between recipients cannot be proven.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._terminated: Recent[tuple[int, int, int], bool] = Recent(32 * context.quorums.nodes**2)

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if not isinstance(message, BVal | Aux | Conf | BVal2 | Aux2 | Term):
            return [message]
        epoch, proposer = message.epoch, message.proposer
        if (epoch + proposer) % 2:
            return self._both(message)
        if isinstance(message, Conf | BVal2 | Aux2):
            return [replace(message, values=1 + recipient % 3)]
        value, key = bool(recipient % 2), (epoch, proposer, recipient)
        if isinstance(message, Term):
            # Said already, unless this node was decided by others' TERMs before it came to vote.
            return [] if key in self._terminated else [replace(message, value=value)]
        if isinstance(message, BVal) or key in self._terminated:
            return [replace(message, value=value)]
        self._terminated[key] = True
        return [replace(message, value=value), Term(epoch, proposer, value)]

    @staticmethod
    def _both(message: BVal | Aux | Conf | BVal2 | Aux2 | Term) -> Sequence[Message]:
        if isinstance(message, Conf | BVal2 | Aux2):
            return [*(replace(message, values=v) for v in (1, 2, 3) if v != message.values), message]
        return [replace(message, value=not message.value), message]


class BadCoinShares(Adversary):
    """With its AUX, hence as early as it can, a bad share of the next coin of that agreement; never a good one.

    By turns a share that is nobody's, the share of another round, instance, epoch or chain, another node's share, one
    of the identity, one that is malformed otherwise, and junk. In every fourth epoch also shares for rounds that
    have no coin.

    Correct nodes must toss the same coins without it: BAD_COIN_SHARE where a coin is needed (with the default
    schedule that is rare, so nothing may be recorded at all), UNEXPECTED_COIN_SHARE for rounds without one.
    """

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._shares: Recent[tuple[int, int, int], bytes] = Recent(32 * context.quorums.nodes)
        self._lies = context.public_keys.suite.lies
        self._copy = self._lies.malformed()[0]
        self._turn = 0

    def witness(self, sender: int, message: Message) -> None:
        if isinstance(message, CoinShare) and sender != self.me:
            self._copy = message.share

    def lie(self, recipient: int, message: Message) -> Sequence[Message]:
        if isinstance(message, CoinShare):
            return []
        if not isinstance(message, Aux):
            return [message]
        epoch, proposer, number = message.epoch, message.proposer, message.round
        every_round = HoneyBadgerParameters.of(self.context.parameters).coin_schedule == "every-round"
        coin = number if every_round else number + (2 - number) % 3
        share = self._shares.once((epoch, proposer, coin), lambda: self._bad_share(epoch, proposer, coin))
        lies: list[Message] = [CoinShare(epoch, proposer, coin, share)]
        if epoch % 4 == 1 and coin != number:
            lies.append(CoinShare(epoch, proposer, number, self._lies.malformed()[0]))
        return [*lies, message]

    def _bad_share(self, epoch: int, proposer: int, number: int) -> bytes:
        self._turn += 1
        chain_id = self.context.chain_id
        match self._turn % 9:
            case 0:
                return self.context.randbytes(len(self._copy))
            case 1:
                return self._lies.stranger(2 + self._turn)
            case 2:
                coin = coin_identity(chain_id, epoch, proposer, number + 3)
            case 3:
                coin = coin_identity(chain_id, epoch, (proposer + 1) % self.quorums.nodes, number)
            case 4:
                coin = coin_identity(chain_id, epoch + 1, proposer, number)
            case 5:
                coin = coin_identity(bytes(32), epoch, proposer, number)
            case turn:
                return (self._copy, *self._lies.malformed()[:2])[turn - 6]
        return self.context.secret_keys.coin.sign_share(coin)
