"""Zab's entry in the registry of protocols."""

from honeybadger.protocols.replicated_log.specification import log_specification
from honeybadger.protocols.zab.messages import MESSAGE_TYPES
from honeybadger.protocols.zab.parameters import ZabParameters
from honeybadger.protocols.zab.protocol import Zab

SPECIFICATION = log_specification("zab", "Zab", ZabParameters, MESSAGE_TYPES, Zab)
