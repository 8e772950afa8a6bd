"""The parameters of HotStuff, in addition to those of every protocol."""

from typing import Annotated, Literal

from msgspec import Meta

from honeybadger.protocols.parameters import SECONDS, Parameters, ProtocolName


class HotStuffParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`view_timeout_s` is doubled with each view that fails, until a block is committed."""

    protocol: ProtocolName = "hotstuff"
    chain: Annotated[
        Literal["three", "two"],
        Meta(description="How many certified blocks in consecutive views commit the first of them."),
    ] = "three"
    view_timeout_s: Annotated[
        float,
        Meta(
            ge=0.01,
            le=3600.0,
            description="How long a node waits for a leader's block before it wants the next leader.",
            extra=SECONDS,
        ),
    ] = 1.0

    @property
    def links(self) -> int:
        """From the committed block to the certified one above it that commits it."""
        return 2 if self.chain == "three" else 1
