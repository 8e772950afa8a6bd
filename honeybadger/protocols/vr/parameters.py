"""The parameters of Viewstamped Replication, in addition to those of every protocol."""

from typing import Annotated

from msgspec import Meta

from honeybadger.protocols.parameters import SECONDS, Parameters, ProtocolName
from honeybadger.protocols.replicated_log.parameters import PipelineDepth


class VrParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A view that does not begin in `view_timeout_s` is given up; the next one gets once more as long."""

    protocol: ProtocolName = "vr"
    pipeline_depth: PipelineDepth = 2
    view_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600.0,
            description="How long a node hears nothing of the primary before it wants the next view.",
            extra=SECONDS,
        ),
    ] = 1.0
