"""Consensus parameters: every node of a chain must hold the same ones, so they are part of the chain id.

`Parameters` holds those that every protocol has; a protocol adds its own in a subclass, in its folder. Each field
carries its range, its unit and its help text, from which options, manifest keys and error messages derive.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import msgspec
from msgspec import Meta

from crypto.suites import DEFAULT, find_suite
from honeybadger.settings import settings
from honeybadger.wording import nearest

BYTES = {"unit": "bytes"}
SECONDS = {"unit": "s"}

SuiteName = Literal["bls", "charm", "charm-secp256k1"]
ProtocolName = Annotated[str, Meta(description="Consensus protocol.")]
P = TypeVar("P", bound="Parameters")


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of every protocol. A subclass sets the default of `protocol` to its own name."""

    protocol: ProtocolName = ""
    suite: Annotated[SuiteName, Meta(description="Cryptographic suite: keys, proofs and erasure code.")] = DEFAULT
    batch_size: Annotated[int, Meta(ge=1, le=10_000_000, description="Transactions per epoch over all nodes (B).")] = (
        10_000
    )
    max_tx_bytes: Annotated[int, Meta(ge=1, le=64 << 20, description="Longest transaction.", extra=BYTES)] = 65_536
    max_proposal_bytes: Annotated[
        int, Meta(ge=1, le=256 << 20, description="Longest serialised proposal of a node.", extra=BYTES)
    ] = 8 << 20
    epoch_window: Annotated[int, Meta(ge=1, le=1024, description="Epochs ahead that a node accepts.")] = 8
    #: 1 gives the lowest latency where processors are the limit (on 2 cores: the throughput of 2 at half the latency);
    #: more pays where the network is the limit. With a leader: how many of its batches are in progress at a time.
    pipeline_depth: Annotated[int, Meta(ge=1, le=1024, description="Epochs in progress at a time.")] = 1

    @classmethod
    def of(cls, parameters: Parameters) -> Self:
        """`parameters` as this protocol's own; TypeError if they are another protocol's."""
        if not isinstance(parameters, cls):
            raise TypeError(f"parameters of {parameters.protocol}, not {cls.__name__}")
        return parameters

    @property
    def encrypts(self) -> bool:
        """Whether proposals are encrypted in any epoch."""
        return False

    @property
    def flaw(self) -> str:
        """What is known to be wrong with a protocol that has these parameters, and the source; "" if nothing is."""
        return ""

    def transactions_per_node(self, nodes: int) -> int:
        """⌊B/N⌋, at least 1: how many transactions one proposal may carry."""
        return max(1, self.batch_size // nodes)

    def check(self, nodes: int) -> None:
        """Raise ValueError, in one line, for the first parameter that makes no sense.

        Subclasses add what their own parameters must be to each other and to the number of nodes.
        """
        read_parameters(type(self), msgspec.structs.asdict(self))
        find_suite(self.suite)
        if self.max_proposal_bytes < self.max_tx_bytes + 16:
            raise ValueError(
                f"max_proposal_bytes = {self.max_proposal_bytes} is below {self.max_tx_bytes + 16}: a proposal must"
                f" have room for a transaction of max_tx_bytes = {self.max_tx_bytes}"
            )
        if self.pipeline_depth > self.epoch_window:
            raise ValueError(f"pipeline_depth = {self.pipeline_depth} is above epoch_window = {self.epoch_window}")


def read_parameters(record: type[P], values: Mapping[str, Any]) -> P:
    """The record that plain data describe; ValueError, in one line, names the first that is unknown or wrong."""
    known = {setting.name: setting for setting in settings(record)}
    found = {}
    for name, value in values.items():
        if name not in known:
            raise ValueError(f'protocol {values.get("protocol", "")} has no parameter "{name}"{nearest(name, known)}')
        try:
            found[name] = known[name].convert(value)
        except ValueError:
            raise ValueError(f"{name} = {value!s:.60} is not {known[name].expects}") from None
    return record(**found)
