"""Raft's entry in the registry of protocols."""

from honeybadger.protocols.raft.messages import MESSAGE_TYPES
from honeybadger.protocols.raft.parameters import RaftParameters
from honeybadger.protocols.raft.protocol import Raft
from honeybadger.protocols.replicated_log.specification import log_specification

SPECIFICATION = log_specification("raft", "Raft", RaftParameters, MESSAGE_TYPES, Raft)
