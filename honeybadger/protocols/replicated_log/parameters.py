"""Types of parameters that all protocols with a replicated log have."""

from typing import Annotated

from msgspec import Meta

PipelineDepth = Annotated[int, Meta(ge=1, le=1024, description="Batches in progress at a time.")]
