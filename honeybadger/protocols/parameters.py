"""Consensus parameters: every node of a chain must hold the same ones, so they are part of the chain id."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from crypto.erasure import CODES

#: when proposals are encrypted; see `encryption_schedule`
Encryption = str
CoinSchedule = Literal["fixed-fixed-coin", "every-round"]


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Consensus parameters of a chain; `check` names the first one that is out of range.

    `batch_size`: transactions per epoch over all nodes (B of the paper). `max_tx_bytes`: longest transaction.
    `max_proposal_bytes`: longest serialised proposal of one node. `encryption`: "always", "never", "every:N"
    (epochs divisible by N) or "first:M,of:N" (the first M of every N epochs). `coin_schedule`: "fixed-fixed-coin"
    (true, false, then a common coin) or "every-round" (the paper's). `erasure_code`: the code of reliable broadcast,
    one of `crypto.erasure.CODES`. `epoch_window`: how many epochs beyond its own
    a node accepts messages for. `pipeline_depth`: how many epochs a node works on at a time; 1 gives the lowest
    latency where processors are the limit (on 2 cores: the throughput of 2 at half the latency), more pays where
    the network is (with a primary: how many batches it has in progress). `view_timeout_s`: with a primary, how long
    a node waits for a transaction before it wants another one; doubled with each view that fails.
    """

    protocol: str = "honeybadger"
    batch_size: int = 10_000
    max_tx_bytes: int = 65_536
    max_proposal_bytes: int = 8 * 1024 * 1024
    encryption: Encryption = "always"
    coin_schedule: CoinSchedule = "fixed-fixed-coin"
    erasure_code: str = "rs-gf256"
    epoch_window: int = 8
    pipeline_depth: int = 1
    view_timeout_s: float = 3.0

    def transactions_per_node(self, nodes: int) -> int:
        """⌊B/N⌋, at least 1: how many transactions one proposal may carry."""
        return max(1, self.batch_size // nodes)

    def check(self, nodes: int) -> None:
        """Raise ValueError, in one line, for the first parameter that makes no sense."""
        from honeybadger.protocols.encryption_schedule import is_encrypted

        ranges = {
            "batch_size": (1, 10_000_000),
            "max_tx_bytes": (1, 64 * 1024 * 1024),
            "max_proposal_bytes": (self.max_tx_bytes + 16, 256 * 1024 * 1024),
            "epoch_window": (1, 1024),
            "pipeline_depth": (1, self.epoch_window),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"{name} = {value} is outside {low} … {high}")
        if not 0.01 <= self.view_timeout_s <= 3600:
            raise ValueError(f"view_timeout_s = {self.view_timeout_s} is outside 0.01 … 3600")
        is_encrypted(self.encryption, 0)
        if self.coin_schedule not in get_args(CoinSchedule):
            raise ValueError(
                f'coin_schedule = "{self.coin_schedule}" is not one of {", ".join(get_args(CoinSchedule))}'
            )
        if self.erasure_code not in CODES:
            raise ValueError(f'erasure_code = "{self.erasure_code}" is not one of {", ".join(CODES)}')
        CODES[self.erasure_code](nodes, nodes)
