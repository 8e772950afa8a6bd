"""Whatever parameters a cluster may be made with work at their limits; the rest is refused in a line that says how to
choose."""

import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from support.requests import submit
from support.suites import dealt_once

from crypto.suite import SHARE_BYTES
from crypto.suites import find_suite, installed_suites
from honeybadger.cluster import sizes as sizes_module
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.sizes import LONGEST_MESSAGE, Sizes, check, most_proposal_bytes
from honeybadger.ledger import block as block_module
from honeybadger.ledger.block import MAX_BODY_BYTES, build_block
from honeybadger.ledger.certificates import LONGEST
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.network.client_protocol import (
    BLOCK_PART_BYTES,
    LONGEST_BLOCK_REPLY,
    LONGEST_REQUEST,
    BlockPart,
    encoder,
)
from honeybadger.network.codec import Codec, Hello
from honeybadger.network.outgoing import Entry, Outgoing
from honeybadger.node.block_messages import BLOCK_MESSAGES, PART_BYTES, BodyPart, CertifiedHeader
from honeybadger.node.block_server import MESSAGE_BYTES
from honeybadger.node.journal import Journal
from honeybadger.node.mempool import Mempool, Request
from honeybadger.protocols.batching.batch import decode_batch, encode_batch
from honeybadger.protocols.batching.forwarder import Forwarder
from honeybadger.protocols.batching.pool import Pool
from honeybadger.protocols.honey_badger import specification as honey_badger_module
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.contribution import decode_contribution, encode_contribution
from honeybadger.protocols.honey_badger.messages import DecryptionShares, Echo, Val
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.pbft.messages import (
    Batch,
    Forward,
    NewView,
    PreparedProof,
    PrePrepare,
    Proposal,
    Relay,
    StableProof,
    ViewChange,
)
from honeybadger.protocols.pbft.requests import RELAY_BYTES
from honeybadger.protocols.quorums import BYZANTINE, Quorums
from honeybadger.protocols.registry import find_protocol
from honeybadger.protocols.wire import Message
from honeybadger.transactions import COUNT_BYTES, END_BYTES

#: the largest values that messages may carry as numbers
EPOCH, NODE = 2**53, 65535
DIGEST, SIGNATURE = bytes(32), bytes(64)
LONGEST_BRANCH = bytes(16 * 32)
MIB = 1 << 20


def sizes(low: int, high: int) -> st.SearchStrategy[int]:
    """As many small ones as large ones."""
    return st.integers(low.bit_length(), high.bit_length()).flatmap(
        lambda bits: st.integers(max(low, 1 << (bits - 1)), min(high, (1 << bits) - 1))
    )


@st.composite
def clusters(draw: Any, most_nodes: int, most_tx: int, most_proposal: int, window: int, held: Any) -> Any:
    """(specification, parameters, quorums, runtime) of anything that might be given to `keygen` or in a manifest."""
    nodes = draw(st.integers(1, most_nodes))
    quorums = Quorums(nodes, draw(st.integers(0, BYZANTINE.largest_faults(nodes))))
    specification = find_protocol(draw(st.sampled_from(["honeybadger", "pbft"])))
    max_tx = draw(sizes(1, most_tx))
    epoch_window = draw(sizes(1, window))
    own = {}
    if specification.name == "honeybadger":
        own["encryption"] = draw(st.sampled_from(["always", "never"]))
        own["broadcast"] = draw(st.sampled_from(sorted(BROADCASTS)))
    suites = [suite.name for suite in installed_suites() if nodes <= suite.most_nodes]
    parameters = specification.parameters(
        suite=draw(st.sampled_from(suites)),
        batch_size=draw(sizes(1, 10_000_000)),
        max_tx_bytes=max_tx,
        max_proposal_bytes=draw(sizes(max_tx + 16, max(max_tx + 16, most_proposal))),
        epoch_window=epoch_window,
        pipeline_depth=draw(sizes(1, epoch_window)),
        **own,
    )
    runtime = Runtime(mempool_bytes=draw(sizes(1, 256 * MIB)), held_bytes_per_peer=draw(held))
    return specification, parameters, quorums, runtime


ANY = clusters(256, 64 * MIB, 256 * MIB, 1024, st.one_of(st.just(0), sizes(1, 1 << 34)))


def length(message: Any, *contents: int) -> int:
    """Encoded bytes of a message that carries so many bytes in fields that are empty here, and less than 4 GiB."""
    return len(msgspec.msgpack.encode([message])) + sum(5 + size for size in contents)


def shard_length(parameters: Parameters, quorums: Quorums) -> int:
    """Of the longest proposal, encrypted."""
    suite = find_suite(parameters.suite)
    longest = parameters.max_proposal_bytes + ciphertext_bytes(suite.name)
    if parameters.broadcast == "bracha":
        return longest
    return suite.code(quorums.data_shards, quorums.nodes).shard_length(longest)


@cache
def ciphertext_bytes(suite: str) -> int:
    """How much longer a ciphertext is than its message."""
    key = dealt_once(suite)[0].encryption
    return len(key.encrypt(b"", b"label", random.Random(1).randbytes))


def longest_messages(protocol: str, parameters: Parameters, quorums: Quorums) -> dict[str, int]:
    """Of each kind that can be long, the length of the longest one that a correct node sends."""
    nodes, longest = quorums.nodes, parameters.max_proposal_bytes
    found = {
        "header": length(CertifiedHeader(EPOCH, b"", bytes(LONGEST), 2**40), 160 + 5 * nodes),
        "part": length(BodyPart(EPOCH, 2**32 - 1, 2**40, b"."), BLOCK_PART_BYTES),
    }
    if protocol == "honeybadger":
        shard = shard_length(parameters, quorums)
        shares: Any = [(NODE, bytes(SHARE_BYTES))] * nodes
        return found | {
            "val": length(Val(EPOCH, NODE, DIGEST, LONGEST_BRANCH, b""), shard),
            "echo": length(Echo(EPOCH, NODE, DIGEST, LONGEST_BRANCH, b""), shard),
            "shares": length(DecryptionShares(EPOCH, shares)),
        }
    window, signed = 2 * parameters.epoch_window, (NODE, SIGNATURE)
    proof = length(PreparedProof(EPOCH, EPOCH, DIGEST, SIGNATURE, [signed] * (quorums.quorum - 1)))
    stable = StableProof(EPOCH, DIGEST, [signed] * quorums.ready)
    change = length(ViewChange(0, EPOCH, stable, [], SIGNATURE)) + window * proof
    proposals = window * length(Proposal(EPOCH, DIGEST, SIGNATURE))
    forwarded = max(512 * 1024, parameters.max_tx_bytes) + 5 * 2048
    return found | {
        "pre-prepare": length(PrePrepare(EPOCH, EPOCH, DIGEST, SIGNATURE, b""), longest),
        "batch": length(Batch(0, b""), longest),
        "forward": length(Forward(0, EPOCH, b""), forwarded),
        "relay": length(Relay(0, b""), COUNT_BYTES + 16 * END_BYTES + max(RELAY_BYTES, parameters.max_tx_bytes)),
        "new view": length(NewView(0, EPOCH, [], [], SIGNATURE)) + quorums.quorum * (change + 8) + proposals,
    }


def accepted(specification: Any, parameters: Parameters, quorums: Quorums, runtime: Runtime) -> Sizes | None:
    try:
        return check(specification, parameters, quorums, runtime)
    except ValueError as error:
        check_refusal(str(error), specification, parameters, quorums, runtime)
        return None


def check_refusal(text: str, specification: Any, parameters: Parameters, quorums: Quorums, runtime: Runtime) -> None:
    """One line, with two limits and a way out; each way that it names is one."""
    if " is not a whole number from " in text:
        return
    assert "\n" not in text
    complaint, advice = text.split("; ")
    assert len(re.findall(r"\d+", complaint)) >= 2, complaint
    for name, value in re.findall(r"(\w+) of at (?:most|least) (\d+)", advice):
        if name == "held_bytes_per_peer":
            changed = msgspec.structs.replace(runtime, held_bytes_per_peer=int(value))
            check(specification, parameters, quorums, changed)
        else:
            check(specification, msgspec.structs.replace(parameters, **{name: int(value)}), quorums, runtime)


@settings(max_examples=100, deadline=None)
@given(ANY)
def test_what_is_accepted_fits_everywhere(cluster: Any) -> None:
    """Arithmetic on the true limits: too large to try."""
    specification, parameters, quorums, runtime = cluster
    found = accepted(*cluster)
    if found is None:
        return
    request = len(encoder.encode(submit(2**63 - 1, [b"."]))) + 5 + parameters.max_tx_bytes
    assert request <= LONGEST_REQUEST
    assert parameters.max_tx_bytes <= runtime.mempool_bytes
    # A proposal counts as many bytes for each transaction as the body does.
    body = parameters.max_proposal_bytes * (1 if specification.one_proposer_per_block else quorums.nodes)
    assert body <= MAX_BODY_BYTES
    part = Codec((*specification.message_types, *BLOCK_MESSAGES), found.message).longest_part
    for name, size in longest_messages(specification.name, parameters, quorums).items():
        assert size <= min(part, LONGEST_MESSAGE), name
    if specification.name == "honeybadger":
        assert parameters.max_proposal_bytes + ciphertext_bytes(parameters.suite) < 1 << 31, "the cipher's limit"
    assert body + 160 + 5 * quorums.nodes + MESSAGE_BYTES * (2 + body // PART_BYTES) <= found.served
    reply = BlockPart(2**63, 2**32, 2**40, 2**62, bytes(160 + 5 * quorums.nodes), bytes(LONGEST), 2**40, b"")
    assert len(encoder.encode(reply)) + BLOCK_PART_BYTES <= LONGEST_BLOCK_REPLY
    # The journal's records and frames count in 32 bits. A frame holds what is said in a tick, or of an epoch.
    said = parameters.max_proposal_bytes + quorums.nodes * found.message
    assert specification.name == "pbft" or said < 1 << 32


@settings(max_examples=50, deadline=None)
@given(ANY)
def test_the_default_size_of_proposals_fits_whenever_any_does(cluster: Any) -> None:
    specification, parameters, quorums, runtime = cluster
    most = most_proposal_bytes(specification, parameters, quorums, runtime)
    assert most <= parameters.max_proposal_bytes
    if most:
        chosen = msgspec.structs.replace(parameters, max_proposal_bytes=most)
        check(specification, chosen, quorums, runtime)
        if most < parameters.max_proposal_bytes:
            with pytest.raises(ValueError, match="; choose "):
                more = msgspec.structs.replace(parameters, max_proposal_bytes=most + 1)
                check(specification, more, quorums, runtime)


# -- at the limits, scaled down ------------------------------------------------------------------------------

SMALL = clusters(9, 3000, 40_000, 6, st.one_of(st.just(0), sizes(1, 4 * MIB)))


@contextmanager
def scaled() -> Iterator[None]:
    """All limits that are constants, small enough to be reached in a test."""
    constants: list[tuple[Any, str, int]] = [
        (sizes_module, "MAX_BODY_BYTES", 150_000),
        (block_module, "MAX_BODY_BYTES", 150_000),
        (sizes_module, "LONGEST_REQUEST", 3000),
        (sizes_module, "LEAST_HELD", 1024),
        (sizes_module, "MOST_HELD", 1024 * 1024),
        # No votes are sent here.
        (honey_badger_module, "AGREEMENT_BYTES", 0),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in constants:
            patch.setattr(module, name, value)
        yield


def full_proposals(specification: Any, parameters: Parameters, quorums: Quorums, runtime: Runtime) -> list[list[bytes]]:
    """What each proposer of a block selects from a mempool full of the longest transactions that it may take."""
    whole = specification.one_proposer_per_block
    count = parameters.batch_size if whole else parameters.transactions_per_node(quorums.nodes)
    found = []
    for proposer in range(1 if whole else quorums.nodes):
        mempool = Mempool(1000, runtime.mempool_bytes, parameters.max_tx_bytes)
        offered = [
            b"%d %d." % (proposer, number)
            for number in range(min(count, 2 + parameters.max_proposal_bytes // (parameters.max_tx_bytes + 5)))
        ]
        offered = [(text * (1 + parameters.max_tx_bytes // len(text)))[: parameters.max_tx_bytes] for text in offered]
        for number, transaction in enumerate(dict.fromkeys(offered)):
            mempool.add(Request(b"", number), [transaction])
        assert mempool.waiting, "the mempool takes none of the longest transactions"
        if whole:
            chosen = mempool.reserve(1, count, parameters.max_proposal_bytes - 4)
            assert decode_batch(encode_batch(quorums.nodes - 1, chosen), parameters, quorums.nodes)
        else:
            chosen = mempool.select(1, parameters.batch_size, count, parameters.max_proposal_bytes)
            assert decode_contribution(encode_contribution(chosen), parameters, quorums.nodes) == chosen
        assert chosen, "the longest transaction does not fit into a proposal"
        found.append(chosen)
    return found


def live_messages(specification: Any, parameters: Parameters, quorums: Quorums) -> list[Message]:
    """The most that a node says to a peer that is at epoch 1, in epochs whose blocks may be in no ledger yet."""
    longest, nodes = parameters.max_proposal_bytes, quorums.nodes
    if specification.name == "pbft":
        return [
            PrePrepare(number, 0, DIGEST, SIGNATURE, bytes(longest))
            for number in range(1, 2 * parameters.epoch_window + 1)
        ]
    shard = bytes(shard_length(parameters, quorums))
    found: list[Message] = []
    for epoch in range(1, parameters.epoch_window + parameters.pipeline_depth + 2):
        # In the first of them everybody proposes, and later the faulty nodes only.
        everybody = epoch <= 2 * parameters.pipeline_depth
        found += [Echo(epoch, j, DIGEST, LONGEST_BRANCH, shard) for j in range(nodes if everybody else quorums.faults)]
        if everybody:
            found.append(Val(epoch, 0, DIGEST, LONGEST_BRANCH, shard))
            found.append(DecryptionShares(epoch, [(j, bytes(SHARE_BYTES)) for j in range(nodes)]))
    return found


# Some seeds give mostly clusters in which no proposal at all fits.
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(SMALL)
def test_what_is_accepted_works_at_its_limits(tmp_path_factory: pytest.TempPathFactory, cluster: Any) -> None:
    """A block of full proposals is built, stored and served to a node that missed it, while the link holds all that is
    said to a peer that lags; a proposal goes through the journal."""
    specification, parameters, quorums, runtime = cluster
    with scaled():
        if accepted(*cluster) is None:
            # The nearest that is.
            most = most_proposal_bytes(*cluster)
            assume(most)
            parameters = msgspec.structs.replace(parameters, max_proposal_bytes=most)
        found = check(specification, parameters, quorums, runtime)
        run_at_the_limits(tmp_path_factory.mktemp("limits"), found, specification, parameters, quorums, runtime)


def run_at_the_limits(
    directory: Path, found: Sizes, specification: Any, parameters: Parameters, quorums: Quorums, runtime: Runtime
) -> None:
    proposals = full_proposals(specification, parameters, quorums, runtime)
    transactions = sorted({transaction for proposal in proposals for transaction in proposal})
    chain_id = bytes(32)
    block = build_block(chain_id, chain_id, 1, 1, range(len(proposals)), transactions)
    store = SQLiteStore(directory / "ledger.sqlite", "memory", chain_id=chain_id)
    store.append([block], {1: bytes(LONGEST)})
    assert Chain(store, chain_id).height == 1
    store.close()

    codec = Codec((*specification.message_types, *BLOCK_MESSAGES), found.message)
    link = Outgoing(found.held)
    link.set_horizon(3 * parameters.epoch_window + 2)

    def offer(messages: list[Message]) -> None:
        for data, held in codec.entries(messages):
            assert len(data) <= codec.longest_part and codec.decode(data)
            link.offer(Entry(held[0][0].epoch, data))

    assert link.make_room(found.served), "a block is never served"
    # As the longest block that there may be.
    body = (block.body * (1 + found.body // len(block.body)))[: found.body]
    offer([CertifiedHeader(0, block.header.encode(), bytes(LONGEST), len(body))])
    offer([BodyPart(0, 1, start, body[start : start + PART_BYTES]) for start in range(0, len(body), PART_BYTES)])
    for message in live_messages(specification, parameters, quorums):
        offer([message])
    assert link.dropped == 0, "messages were dropped that the peer cannot get elsewhere"

    value = bytes(parameters.max_proposal_bytes + ciphertext_bytes(parameters.suite))
    journal = Journal(directory / "journal", chain_id, 0, "os", 1)
    journal.remember(1, 1, 0, 0, value)
    journal.close()
    journal = Journal(directory / "journal", chain_id, 0, "os", 1)
    assert journal.recall(1, 1, 0, 0) == value
    journal.close()


# -- examples ------------------------------------------------------------------------------------------------


def refusal(nodes: int = 4, runtime: Runtime | None = None, **parameters: Any) -> str:
    with pytest.raises(ClusterError) as caught:
        record = find_protocol(parameters.get("protocol", "honeybadger")).parameters
        make_cluster(nodes, (nodes - 1) // 3, record(**parameters), [("127.0.0.1", 1, 2)] * nodes, runtime)
    return str(caught.value)


def test_blocks_that_no_ledger_holds_are_refused_before_keys_are_dealt() -> None:
    """These died in `build_block`, and after each restart again."""
    assert refusal(batch_size=1200, max_tx_bytes=MIB, max_proposal_bytes=256 * MIB) == (
        "max_proposal_bytes = 268435456: a block may come to 1073741824 bytes, and 900000000 are the most; choose"
        " max_proposal_bytes of at most 107304952"
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_tx_bytes": 20_000_000, "max_proposal_bytes": 32 * MIB}, "transaction has 20001024 bytes, and may have"),
        ({"runtime": Runtime(mempool_bytes=65_535)}, "does not fit into mempool_bytes = 65535"),
        ({"runtime": Runtime(held_bytes_per_peer=MIB)}, "held_bytes_per_peer is 1048576"),
        ({"protocol": "pbft", "epoch_window": 1024}, "or held_bytes_per_peer of at least"),
    ],
)
def test_what_else_is_refused(values: Any, says: str) -> None:
    assert says in refusal(**values)


def test_the_greeting_of_the_largest_cluster_is_understood() -> None:
    """A key more for each member, and nobody would listen to anybody."""
    addresses = [(f"n{i}", 1, 2) for i in range(256)]
    manifest, _ = make_cluster(256, 0, HoneyBadgerParameters(max_proposal_bytes=MIB), addresses)
    codec = Codec(manifest.specification.message_types, manifest.sizes.message)
    hello = Hello(manifest.chain_id, manifest.settings)
    assert codec.decode_hello(codec.encode_hello(hello)) == hello


@settings(max_examples=20, deadline=None)
@given(sizes(1, 10_000), sizes(1, 200_000), sizes(1, 3000), sizes(1, 5000))
def test_a_primary_keeps_whatever_a_backup_forwards(batch_size: int, max_tx: int, tx_bytes: int, waiting: int) -> None:
    """With small batches a whole chunk was over the primary's limit, so it dropped every one."""
    assume(tx_bytes <= max_tx)
    parameters = HoneyBadgerParameters(batch_size=batch_size, max_tx_bytes=max_tx, max_proposal_bytes=max_tx + 16)
    mempool = Mempool(waiting, 256 * MIB, max_tx)
    offered = [b"%d." % number + bytes(tx_bytes) for number in range(waiting)]
    mempool.add(Request(b"", 1), [transaction[:max_tx] for transaction in dict.fromkeys(offered)])

    class Waiting:
        transactions_waiting = 1
        reserve = staticmethod(mempool.reserve)

    forwarder, pool = Forwarder(parameters, Waiting()), Pool(parameters)  # type: ignore[arg-type]
    count = 0
    while len(chunk := forwarder.next_chunk()):
        pool.add(1, 0, chunk)
        count += len(chunk)
    assert pool.count == count > 0
