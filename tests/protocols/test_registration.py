"""What a protocol may declare, and what is refused when it is registered."""

from dataclasses import replace
from enum import IntEnum, StrEnum
from types import SimpleNamespace
from typing import Annotated, Any

import msgspec
import pytest
from msgspec import Meta

from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.codec import Codec
from honeybadger.node.block_messages import BLOCK_MESSAGES
from honeybadger.protocols import registry
from honeybadger.protocols.contract import Bulk, Phase, Specification
from honeybadger.protocols.honey_badger.messages import HoneyBadgerFault
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import PBFTFault
from honeybadger.protocols.quorums import CRASH, Quorums
from honeybadger.protocols.registry import find_protocol, flaw, protocol_names
from honeybadger.protocols.wire import Digest, EpochNumber, Message


class SwiftParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    protocol: str = "swift"
    heartbeat_s: Annotated[float, Meta(ge=0.01, le=10.0, description="Silence after which there is a vote.")] = 0.1


class Entries(Message, frozen=True, tag=1):
    digest: Digest
    batches: list[tuple[EpochNumber, bytes]]
    note: Annotated[str, Meta(max_length=64)]


class Ballot(Message, frozen=True, tag=2):
    granted: bool


RAFT = Specification(
    name="swift",
    display_name="Raft",
    parameters=SwiftParameters,
    message_types=(Entries, Ballot),
    build=lambda context: SimpleNamespace(),  # type: ignore[arg-type, return-value]
    live_bytes=lambda parameters, quorums: 10 * parameters.max_proposal_bytes,
    phases=(Phase("proposed", ""), Phase("committed", "replication")),
    bulky=(Bulk(Entries, "batches", lambda parameters, quorums: parameters.max_proposal_bytes),),
    fault_model=CRASH,
    has_leader=True,
    one_proposer_per_block=True,
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs a specification under the name "swift" for the time of a test."""
    find_protocol.cache_clear()

    def install(specification: Any) -> None:
        entry = SimpleNamespace(name="swift", load=lambda: specification)
        usual = registry.entry_points
        monkeypatch.setattr(registry, "entry_points", lambda group: [*usual(group=group), entry])

    yield install
    find_protocol.cache_clear()


def test_a_crash_fault_protocol_of_three_nodes(installed: Any, tmp_path: Any) -> None:
    installed(RAFT)
    addresses = [("127.0.0.1", 7100 + 2 * i, 7101 + 2 * i) for i in range(3)]
    made, _ = make_cluster(3, 1, SwiftParameters(heartbeat_s=0.5), addresses)
    made.save(tmp_path / "cluster.toml")
    manifest = Manifest.load(tmp_path / "cluster.toml")
    assert manifest.chain_id == made.chain_id and manifest.settings["heartbeat_s"] == "0.5"
    assert manifest.quorums == Quorums(3, 1) and manifest.parameters == SwiftParameters(heartbeat_s=0.5)
    for nodes, faults in [(3, 2), (2, 1)]:
        with pytest.raises(ClusterError, match=f"N = {nodes} tolerates at most f = {nodes // 3} .crash faults"):
            make_cluster(nodes, faults, SwiftParameters(), addresses[:nodes])
    assert find_protocol("honeybadger").fault_model.largest_faults(3) == 0


def test_the_longest_message_follows_from_the_declared_field() -> None:
    assert flaw(RAFT) == ""
    parameters, quorums = SwiftParameters(max_proposal_bytes=1_400_000), Quorums(3, 1)
    full = Entries(2**53, bytes(32), [(2**53, bytes(1_399_970))], "\U0010ffff" * 64)
    length = len(msgspec.msgpack.encode(full))
    assert 1_400_000 < length <= RAFT.longest_message(parameters, quorums) <= length + 100
    codec = Codec(
        (*RAFT.message_types, *BLOCK_MESSAGES),
        RAFT.longest_message(parameters, quorums),
        RAFT.limits(parameters, quorums),
    )
    entries = [data for data, _ in codec.entries([full] * 3)]
    assert [codec.decode(data) for data in entries] == [[full]] * 3


def message(name: str, field: str, kind: Any, tag: int | None) -> type[Message]:
    return msgspec.defstruct(name, [(field, kind)], bases=(Message,), frozen=True, tag=tag)


Undeclared = message("Undeclared", "payload", bytes, 3)
Wide = message("Wide", "votes", Annotated[list[Digest], Meta(max_length=65_536)], 3)
Names = message("Names", "names", dict[int, bool], 3)
SameTag = message("SameTag", "granted", bool, 2)
Below = message("Below", "granted", bool, -1)
Untagged = message("Untagged", "granted", bool, None)


class NoMessage(msgspec.Struct, tag=4):
    payload: int


class Listed(Parameters, frozen=True, kw_only=True):
    protocol: str = "swift"
    peers: tuple[int, ...] = ()


Clash = StrEnum("Clash", {"EQUIVOCATION": "said two things"})
LargeVote = IntEnum("LargeVote", {"VOTE": 256})
WRONG: dict[str, tuple[Any, str]] = {
    "undeclared": ({"message_types": (Entries, Ballot, Undeclared)}, "Undeclared.payload may be longer than"),
    "wide": ({"message_types": (Entries, Ballot, Wide)}, "Wide.votes may be longer than"),
    "names": ({"message_types": (Entries, Ballot, Names)}, "Names.names may be longer than"),
    "nothing bulky": ({"bulky": ()}, "Entries.batches may be longer than"),
    "bulky twice": ({"bulky": RAFT.bulky * 2}, "declared twice"),
    "no such field": ({"bulky": (*RAFT.bulky, Bulk(Ballot, "x", lambda p, q: 1))}, "Ballot.x is declared bulky"),
    "foreign message": ({"bulky": (*RAFT.bulky, Bulk(Wide, "votes", lambda p, q: 1))}, "Wide.votes is declared bulky"),
    "same tag": ({"message_types": (Entries, Ballot, SameTag)}, "Ballot and SameTag have the same tag 2"),
    "tag below 1": ({"message_types": (Entries, Ballot, Below)}, "Below has the tag -1"),
    "no tag": ({"message_types": (Entries, Ballot, Untagged)}, "Untagged has the tag"),
    "no message": ({"message_types": (Entries, Ballot, NoMessage)}, "NoMessage is no Message"),
    "no messages": ({"message_types": (), "bulky": ()}, "no messages"),
    "no record": ({"parameters": dict}, "no subclass of Parameters"),
    "another's record": ({"parameters": find_protocol("pbft").parameters}, 'protocol is "pbft"'),
    "a list in the record": ({"parameters": Listed}, "Listed.peers is neither"),
    "no end": ({"phases": (Phase("proposed", ""), Phase("done", "x"))}, "do not go from"),
    "phase twice": ({"phases": (RAFT.phases[0], *RAFT.phases[1:] * 2)}, "a phase is there twice"),
    "fault of all": ({"fault_kinds": Clash}, "EQUIVOCATION is a fault of every protocol"),
    "large vote": ({"votes": LargeVote}, "from 1 to 255"),
    "nameless": ({"display_name": ""}, "display_name"),
    "another name": ({"name": "paxos", "parameters": SwiftParameters}, "paxos"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_specification_is_refused_in_one_line(installed: Any, name: str) -> None:
    changes, says = WRONG[name]
    installed(replace(RAFT, **changes))
    with pytest.raises(LookupError, match=says) as error:
        find_protocol("swift")
    assert "\n" not in str(error.value)


def test_what_is_no_specification_is_refused(installed: Any) -> None:
    installed(7)
    with pytest.raises(LookupError, match="is not a Specification"):
        find_protocol("swift")


def test_the_protocols_that_come_along_are_sound() -> None:
    for name in protocol_names():
        assert flaw(find_protocol(name)) == ""
    assert not {*HoneyBadgerFault.__members__} & {*PBFTFault.__members__}


def test_block_messages_leave_the_tags_from_1_on_to_the_protocol() -> None:
    assert [kind.__struct_config__.tag for kind in BLOCK_MESSAGES] == [-1, -2, -3, -4, -5, -6]
