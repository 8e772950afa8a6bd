"""How large things get on their way through a cluster, and whether each fits where it has to go.

A transaction travels in a client's request, waits in a mempool, is part of a proposal, whose messages wait in links to
peers; proposals become a block, which is stored, and sent to nodes that missed it. All sizes follow from the parameters
that the members agree on. They are derived here and nowhere else, so whatever `check` lets pass works at its limits.

All sizes are in bytes.
"""

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from crypto.errors import CryptoError
from honeybadger.ledger.block import MAX_BODY_BYTES
from honeybadger.network.client_protocol import LONGEST_REQUEST
from honeybadger.protocols.contract import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums

#: bytes of a request that are not transactions
REQUEST_FRAMING = 1024
#: no message between nodes may be longer: what holds it counts in 32 bits
LONGEST_MESSAGE = 1 << 30
#: limits of what is held for a peer if the manifest does not say how much: as much as needed, within these
LEAST_HELD = 256 * 1024 * 1024
MOST_HELD = 2048 * 1024 * 1024


class Limits(Protocol):
    """The part of the manifest's `runtime` section that says how much a node may hold."""

    @property
    def mempool_bytes(self) -> int: ...

    @property
    def held_bytes_per_peer(self) -> int: ...


@dataclass(frozen=True)
class Sizes:
    """The largest there is of each.

    `request`: of a client, with one transaction. `body`: of a block. `message`: between nodes, encoded. `live`: what a
    node must keep for a peer that lags, because the peer cannot take the blocks from a ledger yet. `served`: a block on
    its way to a node that missed it. `held`: what a node keeps for one peer; half of it is room for what is live, and
    blocks fill the other half.
    """

    request: int
    body: int
    message: int
    live: int
    served: int
    held: int

    @property
    def needed(self) -> int:
        """What `held` must be, at least."""
        return 2 * max(self.live, self.served)


def sizes_of(specification: Specification, parameters: Parameters, quorums: Quorums, runtime: Limits) -> Sizes:
    """The sizes that follow from these, whether they fit or not."""
    nodes = quorums.nodes
    body = parameters.max_proposal_bytes * (1 if specification.one_proposer_per_block else nodes)
    sizes = Sizes(
        request=parameters.max_tx_bytes + REQUEST_FRAMING,
        body=body,
        message=specification.longest_message(parameters, quorums),
        live=specification.live_bytes(parameters, quorums),
        # Its parts, with what each costs a link, and the header, which names the proposers.
        served=body + body // 256 + 16 * nodes + 4096,
        held=runtime.held_bytes_per_peer,
    )
    return sizes if sizes.held else replace(sizes, held=max(LEAST_HELD, min(sizes.needed, MOST_HELD)))


def check(specification: Specification, parameters: Parameters, quorums: Quorums, runtime: Limits) -> Sizes:
    """The sizes; ValueError, in one line, names what does not fit, into what, and what would."""
    parameters.check(quorums.nodes)
    try:
        sizes = sizes_of(specification, parameters, quorums, runtime)
    except CryptoError as error:
        raise ValueError(str(error)) from None
    if why := _misfit(sizes, parameters, runtime):
        raise ValueError(why + _advice(specification, parameters, quorums, runtime, sizes))
    return sizes


def most_proposal_bytes(specification: Specification, parameters: Parameters, quorums: Quorums, runtime: Limits) -> int:
    """The largest `max_proposal_bytes` up to that of `parameters` that fits with the rest of them; 0 if none does."""
    return _most("max_proposal_bytes", specification, parameters, quorums, runtime)


def _misfit(sizes: Sizes, parameters: Parameters, runtime: Limits) -> str:
    """The first size that is over its limit, in words; "" if all fit."""
    if sizes.request > LONGEST_REQUEST:
        return (
            f"max_tx_bytes = {parameters.max_tx_bytes}: a client's request with such a transaction has {sizes.request}"
            f" bytes, and may have {LONGEST_REQUEST}"
        )
    if parameters.max_tx_bytes > runtime.mempool_bytes:
        return (
            f"max_tx_bytes = {parameters.max_tx_bytes}: such a transaction does not fit into mempool_bytes ="
            f" {runtime.mempool_bytes}"
        )
    if sizes.body > MAX_BODY_BYTES:
        return (
            f"max_proposal_bytes = {parameters.max_proposal_bytes}: a block may come to {sizes.body} bytes, and"
            f" {MAX_BODY_BYTES} are the most"
        )
    if sizes.message > LONGEST_MESSAGE:
        return (
            f"epoch_window = {parameters.epoch_window}: a message may come to {sizes.message} bytes, and"
            f" {LONGEST_MESSAGE} are the most"
        )
    if sizes.needed > sizes.held:
        return (
            f"max_proposal_bytes = {parameters.max_proposal_bytes}: a node may have to keep {sizes.needed} bytes for a"
            f" peer, and held_bytes_per_peer is {sizes.held}"
        )
    return ""


def _advice(
    specification: Specification, parameters: Parameters, quorums: Quorums, runtime: Limits, sizes: Sizes
) -> str:
    """Which single change would do, in words that follow the complaint."""
    smaller = {
        name: most
        for name in ("max_tx_bytes", "max_proposal_bytes", "epoch_window", "pipeline_depth")
        if (most := _most(name, specification, parameters, quorums, runtime))
    }
    choices = [f"{name} of at most {most}" for name, most in smaller.items()]
    if sizes.needed > sizes.held and not _misfit(replace(sizes, held=sizes.needed), parameters, runtime):
        choices.append(f"held_bytes_per_peer of at least {sizes.needed}")
    return f"; choose {' or '.join(choices)}" if choices else "; choose fewer nodes, or smaller values of all"


def _most(name: str, specification: Specification, parameters: Parameters, quorums: Quorums, runtime: Limits) -> int:
    """The largest value of this parameter, up to the present one, with which everything fits; 0 if none does."""

    def changed(value: int) -> Parameters:
        return msgspec.structs.replace(parameters, **{name: value})

    def misfits(value: int) -> bool:
        return bool(_misfit(sizes_of(specification, changed(value), quorums, runtime), changed(value), runtime))

    most = bisect_left(range(1, getattr(parameters, name) + 1), True, key=misfits)
    try:
        changed(most).check(quorums.nodes)
    except ValueError:
        return 0
    return most
