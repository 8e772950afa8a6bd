"""The parameters of Raft, in addition to those of every protocol."""

from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.parameters import SECONDS, Parameters, ProtocolName
from honeybadger.protocols.replicated_log.parameters import PipelineDepth


class RaftParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A node waits one to two `election_timeout_s`, at random, before it wants to lead."""

    protocol: ProtocolName = "raft"
    pipeline_depth: PipelineDepth = 2
    election_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600.0,
            description="How long a node hears nothing of a leader before it wants to be one.",
            extra=SECONDS,
        ),
    ] = 1.0
