"""What nodes sign, and pure checks of certificates. A check returns "" or, for the fault log, what is wrong.

Every statement begins with the chain id and its kind, and names its view, so no signature can be used for another one.
"""

import struct
from itertools import pairwise

from blake3 import blake3

from honeybadger.protocols.batching.batch import batch_digest
from honeybadger.protocols.context import Context
from honeybadger.protocols.hotstuff.messages import BEGINNING, NO_TIMEOUT, Block, Quorum, SignedVote, TimedOut

_numbers = struct.Struct(">QQQ")


def block_digest(block: Block) -> bytes:
    """BLAKE3 of everything in the block, 32 bytes."""
    header = _numbers.pack(block.view, block.height, block.parent_view)
    return blake3(header + block.parent + batch_digest(block.batch)).digest()


def vote_statement(view: int, height: int, block: bytes) -> bytes:
    """The signer votes for `block`, of `view` and at `height`."""
    return b"HOTSTUFF VOTE" + _numbers.pack(view, height, 0) + block


def timeout_statement(view: int, high: int) -> bytes:
    """The signer has given up `view`, and its highest QC is of view `high`."""
    return b"HOTSTUFF TIMEOUT" + _numbers.pack(view, high, 0)


class Members:
    """Who leads, how many make a certificate, whose signature is whose. ValueError without signing keys."""

    def __init__(self, context: Context) -> None:
        if context.signing_keys is None or context.signing_key is None:
            raise ValueError("HotStuff needs signing keys; make the cluster anew with `honeybadger keygen`")
        self.me = context.me
        self.nodes = context.quorums.nodes
        #: N-f: two such sets share a correct node
        self.quorum = context.quorums.quorum
        #: f+1: one of them is correct
        self.weak = context.quorums.weak
        self._chain_id = context.chain_id
        self._keys = context.signing_keys
        self._key = context.signing_key

    def leader(self, view: int) -> int:
        return view % self.nodes

    def sign(self, statement: bytes) -> bytes:
        return self._key.sign(self._chain_id + statement)

    def verify(self, node: int, statement: bytes, signature: bytes) -> bool:
        return self._keys.verify(node, self._chain_id + statement, signature)

    def verify_vote(self, node: int, vote: SignedVote) -> bool:
        return self.verify(node, vote_statement(vote.view, vote.height, vote.block), vote.signature)


def check_quorum(members: Members, quorum: Quorum) -> str:
    """N-f distinct nodes voted for this block in this view at this height; or it is the beginning."""
    if not quorum.view:
        return "" if quorum == BEGINNING else "a QC of view 0"
    if why := _signers(members, [node for node, _ in quorum.signatures]):
        return f"a QC {why}"
    statement = vote_statement(quorum.view, quorum.height, quorum.block)
    good = all(members.verify(node, statement, signature) for node, signature in quorum.signatures)
    return "" if good else "signatures of a QC"


def check_timed_out(members: Members, timed_out: TimedOut) -> str:
    """N-f distinct nodes gave up this view; or there is no certificate."""
    if not timed_out.view:
        return "" if timed_out == NO_TIMEOUT else "a TC of view 0"
    if why := _signers(members, [node for node, _, _ in timed_out.signatures]):
        return f"a TC {why}"
    good = all(
        members.verify(node, timeout_statement(timed_out.view, high), signature)
        for node, high, signature in timed_out.signatures
    )
    return "" if good else "signatures of a TC"


def _signers(members: Members, nodes: list[int]) -> str:
    if len(nodes) != members.quorum or any(a >= b for a, b in pairwise(nodes)):
        return f"of nodes {nodes}"
    return ""
