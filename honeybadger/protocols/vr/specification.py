"""Viewstamped Replication's entry in the registry of protocols."""

from honeybadger.protocols.replicated_log.specification import log_specification
from honeybadger.protocols.vr.messages import MESSAGE_TYPES
from honeybadger.protocols.vr.parameters import VrParameters
from honeybadger.protocols.vr.protocol import ViewstampedReplication

SPECIFICATION = log_specification("vr", "Viewstamped Replication", VrParameters, MESSAGE_TYPES, ViewstampedReplication)
