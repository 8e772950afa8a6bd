"""The parameters of Zab, in addition to those of every protocol."""

from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.parameters import SECONDS, Parameters, ProtocolName
from honeybadger.protocols.replicated_log.parameters import PipelineDepth


class ZabParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An election that leads to nothing in one to two `leader_timeout_s`, at random, is held again; the next one gets
    once more as long."""

    protocol: ProtocolName = "zab"
    pipeline_depth: PipelineDepth = 2
    leader_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600.0,
            description="How long a node hears nothing of a leader, or a leader of a majority, until it elects.",
            extra=SECONDS,
        ),
    ] = 1.0
