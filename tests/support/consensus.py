"""Changes to what a manifest's members agree on."""

from typing import Any

import msgspec

from honeybadger.cluster.manifest import Consensus


def with_parameters(consensus: Consensus, **changes: Any) -> Consensus:
    """The same, with some parameters of the protocol changed, unchecked."""
    return msgspec.structs.replace(consensus, parameters={**consensus.parameters, **changes})
