"""The parameters of PBFT, in addition to those of every protocol."""

from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.parameters import SECONDS, Parameters, ProtocolName


class PBFTParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`view_timeout_s` is doubled with each view that fails."""

    protocol: ProtocolName = "pbft"
    pipeline_depth: Annotated[int, Meta(ge=1, le=1024, description="Batches in progress at a time.")] = 2
    view_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600.0,
            description="How long a node waits for a transaction to be ordered before it wants another primary.",
            extra=SECONDS,
        ),
    ] = 3.0
