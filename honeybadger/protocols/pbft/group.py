"""The members, as PBFT sees them: who is primary, how many make a certificate, whose signature is whose.

N = 3f+1 is PBFT's setting; here N may be larger. Certificates of PREPAREs, COMMITs and VIEW-CHANGEs need N-f nodes
(2f+1 if N = 3f+1): two such sets share a correct node. A checkpoint needs 2f+1: f+1 of them are correct, so its state
is the right one and can be fetched.
"""

from __future__ import annotations

from itertools import pairwise

from crypto.signatures import PublicSigningKeys, SigningKey
from honeybadger.protocols.base import Context
from honeybadger.protocols.pbft.messages import SignedBy


class Group:
    """See the module. Raises ValueError if the cluster has no signing keys."""

    def __init__(self, context: Context) -> None:
        if context.signing_keys is None or context.signing_key is None:
            raise ValueError("PBFT needs signing keys; make the cluster anew with `honeybadger keygen`")
        self.me = context.me
        self.chain_id = context.chain_id
        self.parameters = context.parameters
        self.nodes = context.quorums.nodes
        self.quorum = context.quorums.quorum
        self.weak = context.quorums.weak
        self.checkpoint_quorum = context.quorums.ready
        self._keys: PublicSigningKeys = context.signing_keys
        self._key: SigningKey = context.signing_key
        #: signatures verified so far
        self.verified = 0
        #: checkpoints are this far apart (K), and the high water mark is twice that above the low one (L)
        self.checkpoint_interval = context.parameters.epoch_window
        self.window = 2 * self.checkpoint_interval

    def primary(self, view: int) -> int:
        """The primary of a view."""
        return view % self.nodes

    def sign(self, statement: bytes) -> bytes:
        """This node's signature."""
        return self._key.sign(statement)

    def verify(self, node: int, statement: bytes, signature: bytes) -> bool:
        """Whether the signature is `node`'s."""
        self.verified += 1
        return self._keys.verify(node, statement, signature)

    def verify_all(self, signatures: list[SignedBy], statement: bytes) -> bool:
        """Whether all signatures are good and of distinct members, ascending."""
        nodes = [node for node, _ in signatures]
        if any(a >= b for a, b in pairwise(nodes)):
            return False
        return all(self.verify(node, statement, signature) for node, signature in signatures)
