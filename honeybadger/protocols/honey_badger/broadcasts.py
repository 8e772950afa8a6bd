"""The reliable broadcasts by name, as the parameter `broadcast` chooses them."""

from honeybadger.protocols.honey_badger.broadcast_avid import Avid
from honeybadger.protocols.honey_badger.broadcast_bracha import Bracha
from honeybadger.protocols.honey_badger.broadcast_hash_echo import HashEcho
from honeybadger.protocols.honey_badger.parameters import Broadcast
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast

BROADCASTS: dict[Broadcast, type[ReliableBroadcast]] = {"hash-echo": HashEcho, "avid": Avid, "bracha": Bracha}
