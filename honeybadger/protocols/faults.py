"""Misbehaviour that every protocol, or the runtime, can record. A protocol adds kinds in an enumeration of its own."""

from enum import StrEnum


class FaultKind(StrEnum):
    """Kinds of misbehaviour that a correct node can prove to itself about a peer."""

    NOT_A_MEMBER = "names a proposer outside the cluster"
    EQUIVOCATION = "sent two different messages where one is allowed"
    FUTURE_EPOCH = "epoch outside the receiver's window"
    BAD_CERTIFICATE = "sent a block or certificate share that does not verify"
    BAD_FRAME = "sent a frame that does not decode"
    KEYS_USED_TWICE = "two processes use its keys at the same time"
    UNKNOWN_MESSAGE = "sent a message that this protocol does not know"
