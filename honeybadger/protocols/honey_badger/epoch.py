"""One epoch of Honey Badger: propose, agree on a subset, reveal decryption shares, decrypt.

Rules that matter:
  - Shares are revealed only after the WHOLE subset is decided here (all N agreements), never per accepted proposal: a
    faulty proposer could otherwise fix its proposal after reading others'.
  - Shares are revealed only for ciphertexts that pass the validity check under the label (chain, epoch, proposer),
    which the node recomputes from the context: a copied ciphertext fails.
  - Every malformed included proposal (ciphertext, encryption, batch) becomes the empty contribution, by a
    deterministic function of the delivered bytes and public keys. The epoch never waits for it.

Source: Miller et al. (CCS 2016), figure 1 and section 4.3. Departure: the paper's "wait for f+1 shares" is read as f+1
VALID shares; the suite combines them first, and looks for bad ones only if the result is not right.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import msgspec

from crypto.erasure import ErasureCode
from crypto.suite import SHARE_BYTES, Ciphertext
from honeybadger.protocols.context import Context
from honeybadger.protocols.honey_badger.agreements import AGREEMENTS
from honeybadger.protocols.honey_badger.binary_agreement import BinaryAgreement
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.common_coin import CommonCoin, coin_identity
from honeybadger.protocols.honey_badger.common_subset import CommonSubset
from honeybadger.protocols.honey_badger.contribution import decode_contribution, encode_contribution
from honeybadger.protocols.honey_badger.messages import DecryptionShares, HoneyBadgerFault, Vote
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters, is_encrypted
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.transactions import EMPTY, Transactions

#: room for the ciphertext's header and tag beyond the longest serialised proposal
CIPHERTEXT_OVERHEAD = 1024

_encoder = msgspec.msgpack.Encoder()


def ciphertext_label(chain_id: bytes, epoch: int, proposer: int) -> bytes:
    """What a proposal's ciphertext is bound to."""
    return _encoder.encode(("proposal", 1, chain_id, epoch, proposer))


class Epoch:
    """One epoch at one node.

    `suspects`: nodes that have sent bad shares, shared over epochs; `wanted`: where broadcasts are noted that lack
    shards. `on_broadcast()` is called when N-f proposals
    have been delivered; `on_complete()` once, when `contributions` is final.
    """

    def __init__(
        self,
        number: int,
        context: Context,
        code: ErasureCode,
        suspects: set[int],
        wanted: ShardsWanted,
        on_broadcast: Callable[[], None],
        on_complete: Callable[[], None],
    ) -> None:
        self.number = number
        self._context = context
        self._code = code
        self._suspects = suspects
        self._wanted = wanted
        self._on_broadcast = on_broadcast
        self._on_complete = on_complete
        self._parameters = HoneyBadgerParameters.of(context.parameters)
        self._broadcast = BROADCASTS[self._parameters.broadcast]
        self._longest_shard = self._broadcast.shard_limit(
            code, self._parameters.max_proposal_bytes + CIPHERTEXT_OVERHEAD
        )
        self._agreement = AGREEMENTS[self._parameters.agreement]
        self._encrypted = is_encrypted(self._parameters.encryption, number)
        #: this node's proposal as it was sent: it needs no check when it comes back
        self._own_ciphertext: bytes | None = None
        #: what is encrypted in it; None after a restart, when it must be decrypted as any other
        self._own_plaintext: bytes | None = None
        #: proposer → the accepted proposals that are to be decrypted; None: the subset is not decided
        self._ciphertexts: dict[int, Ciphertext] | None = None
        #: sender → its shares, as they came: what they are for is known when the subset is decided
        self._early_shares: dict[int, DecryptionShares] = {}
        #: proposer → sender → share, for each of `_ciphertexts`, in their order
        self._shares: dict[int, dict[int, bytes]] = {}
        #: proposer → transactions, of the accepted proposals that are read; none for a malformed one
        self._contributions: dict[int, Transactions] = {}
        #: the accepted proposers, ascending
        self._subset: tuple[int, ...] = ()
        self.proposed = False
        #: N-f proposals have been delivered here, so the next epoch may begin to use the network
        self.broadcast_done = False
        #: `contributions` is final
        self.complete = False
        self.subset = CommonSubset(
            context.quorums,
            self._make_broadcast,
            self._make_agreement,
            self._broadcast_delivered,
            self._agreed,
        )

    @property
    def contributions(self) -> list[tuple[int, Transactions]]:
        """(proposer, transactions) ascending by proposer; final once `complete`."""
        return [(j, self._contributions[j]) for j in self._subset]

    def resume(self) -> None:
        """Right after the construction: send again the votes and the proposal that were sent before a restart.

        The proposal, too, before anything is heard: this node's vote for it goes with it. Others may wait for that vote
        when this node, with their help, no longer does.
        """
        for number, proposer, round_number, value in self._context.journal.votes(self.number):
            vote = Vote(number)
            if vote in (Vote.ECHO, Vote.SHARD, Vote.READY):
                self.subset.broadcasts[proposer].resume(vote, value)
            elif vote is not Vote.PROPOSAL:
                self.subset.agreements[proposer].resume(vote, round_number, value)
        proposal = self._context.journal.recall(self.number, Vote.PROPOSAL, self._context.me, 0)
        if proposal is not None:
            self._disperse(proposal)

    def propose(self, select: Callable[[int], Transactions]) -> None:
        """Encrypt (if the schedule says so) and disperse `select(epoch)`'s transactions; unless `proposed`."""
        context = self._context
        value = encode_contribution(select(self.number))
        if self._encrypted:
            self._own_plaintext = value
            label = ciphertext_label(context.chain_id, self.number, context.me)
            value = context.public_keys.encryption.encrypt(value, label, context.randbytes)
        context.journal.remember(self.number, Vote.PROPOSAL, context.me, 0, value)
        self._disperse(value)

    def handle_decryption_shares(self, sender: int, message: DecryptionShares) -> None:
        """The first message of each sender counts; kept unread until the subset is decided here."""
        if self.complete or sender in self._early_shares:
            return
        if len(message.shares) > self._context.quorums.nodes:
            # Refused before it is kept: a list may decode to megabytes.
            self._context.outbox.fault(sender, HoneyBadgerFault.WRONG_SHARE_SET, f"epoch {self.number}")
            return
        self._early_shares[sender] = message
        if self._ciphertexts is not None:
            self._absorb(sender, message)

    def held_bytes(self) -> tuple[int, int]:
        """(of the whole epoch, of its largest broadcast): encoded shards, proposals, decryption shares."""
        broadcasts = self.subset.held_bytes
        plain = sum(transactions.encoded_bytes for transactions in self._contributions.values())
        shares = sum(SHARE_BYTES * len(message.shares) for message in self._early_shares.values())
        return sum(broadcasts) + plain + shares, max(broadcasts, default=0)

    def most_held(self) -> tuple[int, int]:
        """What `held_bytes` cannot exceed: N broadcasts, their plaintexts, N lists of N decryption shares."""
        nodes = self._context.quorums.nodes
        longest = self._context.parameters.max_proposal_bytes + CIPHERTEXT_OVERHEAD
        instance = max(b.most_held for b in self.subset.broadcasts) + longest
        return nodes * (instance + longest + nodes * SHARE_BYTES), instance

    def release(self) -> None:
        """The epoch is committed: forget everything but the agreements, which others may still need.

        Explicitly, because the instances and their callbacks refer to each other in circles, and megabytes should
        not wait for the garbage collector.
        """
        self._contributions = {}
        self._own_ciphertext = self._own_plaintext = None
        self._wanted.forget(self.subset.broadcasts)
        self.subset.release()

    def status(self) -> dict[str, Any]:
        waiting = sorted(set(self._subset) - set(self._contributions))
        return {
            "epoch": self.number,
            "proposed": self.proposed,
            "complete": self.complete,
            "decryption_shares_from": sorted(self._early_shares),
            "undecrypted": waiting,
            "subset": self.subset.status() if self._ciphertexts is None else list(self._subset),
        }

    # -- assembly ------------------------------------------------------------------------------------------

    def _make_broadcast(self, proposer: int, deliver: Callable[[bytes], None]) -> ReliableBroadcast:
        context = self._context
        return self._broadcast(
            context.me,
            self.number,
            proposer,
            context.quorums,
            self._code,
            self._longest_shard,
            context.outbox,
            deliver,
            self._wanted.add,
            context.journal,
        )

    def _make_agreement(
        self, proposer: int, on_decide: Callable[[int], None], on_settled: Callable[[], None]
    ) -> BinaryAgreement:
        context = self._context

        def make_coin(round_number: int, on_value: Callable[[int], None]) -> CommonCoin:
            return CommonCoin(
                context.me,
                coin_identity(context.chain_id, self.number, proposer, round_number),
                context.public_keys,
                context.secret_keys,
                self._suspects,
                context.outbox,
                on_value,
                f"epoch {self.number} agreement {proposer} round {round_number}",
            )

        return self._agreement(
            self.number,
            proposer,
            context.quorums,
            self._parameters.coin_schedule,
            make_coin,
            context.outbox,
            on_decide,
            on_settled,
            context.journal,
        )

    # -- after the broadcasts ------------------------------------------------------------------------------

    def _disperse(self, proposal: bytes) -> None:
        self.proposed = True
        if self._encrypted:
            self._own_ciphertext = proposal
        self._context.observe(self.number, "proposed", bytes=len(proposal))
        self.subset.broadcasts[self._context.me].broadcast(proposal)

    def _broadcast_delivered(self, count: int) -> None:
        if count == self._context.quorums.quorum:
            self.broadcast_done = True
            self._context.observe(self.number, "broadcast")
            self._on_broadcast()

    def _agreed(self, values: dict[int, bytes]) -> None:
        agreements = self.subset.agreements
        self._context.observe(
            self.number,
            "agreed",
            accepted=len(values),
            rounds=max(agreement.rounds for agreement in agreements),
            coins=sum(agreement.coins_tossed for agreement in agreements),
        )
        self._subset = tuple(values)
        if not self._encrypted:
            self._ciphertexts = {}
            for proposer, value in values.items():
                self._accept(proposer, value)
        else:
            self._ciphertexts = self._valid_ciphertexts(values)
            self._reveal(self._ciphertexts)
            for sender, message in list(self._early_shares.items()):
                if not self.complete:
                    self._absorb(sender, message)
        self._finish()

    def _valid_ciphertexts(self, values: dict[int, bytes]) -> dict[int, Ciphertext]:
        """The ciphertexts that pass the check; the others become empty contributions."""
        context = self._context
        labels = {j: ciphertext_label(context.chain_id, self.number, j) for j in values}
        valid: dict[int, Ciphertext] = {}
        unknown = list(values)
        if self._own_ciphertext is not None and values.get(context.me) == self._own_ciphertext:
            # Byte for byte what this node made: known to be valid.
            valid[context.me] = context.public_keys.encryption.own(self._own_ciphertext, labels[context.me])
            if self._own_plaintext is not None:
                self._accept(context.me, self._own_plaintext)
            unknown.remove(context.me)
        checked = context.public_keys.encryption.check([(values[j], labels[j]) for j in unknown])
        for proposer, ciphertext in zip(unknown, checked, strict=True):
            if ciphertext is None:
                self._reject(proposer, HoneyBadgerFault.BAD_CIPHERTEXT)
            else:
                valid[proposer] = ciphertext
        return {j: valid[j] for j in sorted(valid)}

    def _reveal(self, ciphertexts: dict[int, Ciphertext]) -> None:
        self._shares = {j: {} for j in ciphertexts}
        if ciphertexts:
            secret = self._context.secret_keys.encryption
            shares = [(j, secret.decryption_share(ciphertext)) for j, ciphertext in ciphertexts.items()]
            self._context.outbox.broadcast(DecryptionShares(self.number, shares))

    # -- decryption ----------------------------------------------------------------------------------------

    def _absorb(self, sender: int, message: DecryptionShares) -> None:
        """Take over a node's shares. A correct one sends exactly one for each valid ciphertext, ascending."""
        if [proposer for proposer, _ in message.shares] != list(self._shares):
            self._context.outbox.fault(sender, HoneyBadgerFault.WRONG_SHARE_SET, f"epoch {self.number}")
            return
        for proposer, share in message.shares:
            if proposer not in self._contributions:
                self._shares[proposer][sender] = share
                self._try_decrypt(proposer)
        self._finish()

    def _try_decrypt(self, proposer: int) -> None:
        shares = self._shares[proposer]
        public = self._context.public_keys.encryption
        # f+1: no plaintext is known before one correct node has revealed its share, and all correct ones do.
        if self._ciphertexts is None or len(shares) < public.threshold:
            return
        result = public.decrypt(self._ciphertexts[proposer], shares, self._suspects)
        for node in sorted(result.bad):
            del shares[node]
            self._suspects.add(node)
            self._context.outbox.fault(
                node, HoneyBadgerFault.BAD_DECRYPTION_SHARE, f"epoch {self.number} proposal {proposer}"
            )
        if result.done:
            shares.clear()
            if result.plaintext is None:
                self._reject(proposer, HoneyBadgerFault.BAD_CIPHERTEXT)
            else:
                self._accept(proposer, result.plaintext)

    def _accept(self, proposer: int, data: bytes) -> None:
        transactions = decode_contribution(data, self._context.parameters, self._context.quorums.nodes)
        if transactions is None:
            self._reject(proposer, HoneyBadgerFault.BAD_CONTRIBUTION)
        else:
            self._contributions[proposer] = transactions

    def _reject(self, proposer: int, kind: StrEnum) -> None:
        self._contributions[proposer] = EMPTY
        self._context.outbox.fault(proposer, kind, f"epoch {self.number}")

    def _finish(self) -> None:
        if self.complete or self._ciphertexts is None or len(self._contributions) < len(self._subset):
            return
        self.complete = True
        self._context.observe(self.number, "decrypted")
        self._ciphertexts = {}
        self._early_shares.clear()
        self._shares.clear()
        self._on_complete()
