"""What is charged for payload that is not carried is what it would cost if it were there."""

import math

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from crypto.dealer import deal
from honeybadger.network.codec import Codec
from honeybadger.node.block_messages import BlockRequest, BodyPart
from honeybadger.protocols.honey_badger.contribution import decode_contribution, encode_contribution
from honeybadger.protocols.honey_badger.messages import Echo, Ready, Val
from honeybadger.protocols.honey_badger.specification import SPECIFICATION
from honeybadger.protocols.pbft.messages import Batch, Forward, PrePrepare, Relay
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol
from honeybadger.simulation.virtual_time.charged import charged_keys
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.ideal import HEADER_BYTES, IDEAL
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS, BarelyPadded, Payload
from honeybadger.simulation.virtual_time.table import CostTable
from honeybadger.transactions import Transactions

BUNDLES = st.sampled_from([2, 4, 256])
CODEC = Codec(SPECIFICATION.message_types, 1 << 20)
VAL, READY = Val(1, 2, bytes(32), bytes(64), bytes(640)), Ready(1, 2, bytes(32))


@pytest.mark.parametrize("protocol", ["honeybadger", "pbft"])
def test_what_may_be_as_long_as_a_proposal_is_payload_and_nothing_else_is(protocol):
    carriers = []
    for kind in find_protocol(protocol).message_types:
        # Bytes whose type does not keep them short.
        long = [f.name for f in msgspec.structs.fields(kind) if f.type is bytes]
        others = dict.fromkeys((f.name for f in msgspec.structs.fields(kind) if f.name not in long), 0)
        assert kind(**others, **dict.fromkeys(long, bytes(1000))).payload == 1000 * len(long), kind
        carriers += [kind] * len(long)
    assert {"honeybadger": {Val, Echo}, "pbft": {PrePrepare, Forward, Relay, Batch}}[protocol] <= set(carriers)


def test_a_part_of_a_body_is_payload():
    assert BodyPart(0, 1, 0, bytes(1000)).payload == 1000
    assert BlockRequest(0, 1, 1).payload == 0


def test_an_entry_is_charged_with_its_payload_as_often_as_it_stands_for_more_and_with_the_rest_once():
    payload = Payload(bundle=8, tx_bytes=250, carried=32)
    ((data, held),) = CODEC.entries([VAL, READY])
    messages = [message for message, _ in held]
    assert payload.size(len(data), messages) == len(data) - 640 + round(640 * 8 * 254 / 36)
    assert payload.size(100, [READY]) == 100
    assert CARRIED_AS_IT_IS.size(len(data), messages) == len(data)


@given(st.integers(0, 10**9))
def test_what_is_carried_as_it_is_is_charged_as_it_is(count):
    one = Payload.of(1, 250, 10)
    assert one == CARRIED_AS_IT_IS
    assert one.transactions(count) == one.transaction_bytes(count) == one.encoded(count) == count
    assert one.mempool(count, count) == (count, count)
    assert one.parameters(SPECIFICATION.parameters()) == SPECIFICATION.parameters()


@given(BUNDLES, st.integers(16, 1000), st.integers(16, 1000))
def test_a_proposal_is_charged_as_the_one_it_stands_for(bundle, count, tx_bytes):
    payload = Payload.of(bundle, tx_bytes, count)
    carried = Transactions.of([bytes(payload.carried)] * count)
    real_bytes = 4 + count * bundle * (4 + tx_bytes)
    assert payload.transactions(len(carried)) == count * bundle
    assert payload.transaction_bytes(int(carried.lengths.sum())) == count * bundle * tx_bytes
    assert payload.encoded(carried.encoded_bytes) == pytest.approx(real_bytes, rel=0.02)


@given(st.integers(4, 104), BUNDLES, st.integers(16, 600), st.integers(100, 1000), st.sampled_from([1.0, 0.5, 0.25]))
def test_shards_are_charged_as_those_they_stand_for(nodes, bundle, full, tx_bytes, filled):
    data = Quorums(nodes, (nodes - 1) // 3).data_shards
    payload = Payload.of(bundle, tx_bytes, full)
    assume(payload.carried < bundle * tx_bytes)
    count = math.ceil(filled * full)
    value = HEADER_BYTES + 4 + count * (4 + payload.carried)
    length = payload.suite(IDEAL).code(data, nodes).shard_length(value)
    stands_for = (HEADER_BYTES + 4 + count * bundle * (4 + tx_bytes)) / data
    # A little too much: for the header, and for padding by 8 bytes at the most.
    assert stands_for * 0.99 - 1 <= payload.encoded(length)
    beside = HEADER_BYTES + 12 + 8 * data
    assert payload.encoded(length) <= stands_for * (1 + beside / (value - HEADER_BYTES))


def test_the_code_with_shorter_padding_restores_what_it_encodes():
    code = BarelyPadded(5, 9)
    for size in (0, 1, 32, 33, 1000):
        shards = code.encode(bytes(range(256))[:1] * size)
        assert len(shards[0]) % 8 == 0
        assert code.value(code.complete(dict(list(enumerate(shards))[-5:]))) == bytes(range(256))[:1] * size


@given(BUNDLES, st.integers(16, 200), st.integers(100, 1000), st.booleans())
def test_a_node_takes_a_full_proposal_exactly_if_a_real_one_takes_what_it_stands_for(bundle, count, tx_bytes, fits):
    payload = Payload.of(bundle, tx_bytes, count)
    full = 4 + count * bundle * (4 + tx_bytes)
    chosen = SPECIFICATION.parameters(
        batch_size=4 * count * bundle, max_tx_bytes=tx_bytes, max_proposal_bytes=full if fits else full - 1
    )
    carried = payload.parameters(chosen)
    carried.check(4)
    assert carried.transactions_per_node(4) * bundle == chosen.transactions_per_node(4)
    proposal = encode_contribution([bytes(payload.carried)] * count)
    assert (decode_contribution(proposal, carried, 4) is not None) == fits


def test_a_mempool_that_carries_less_is_full_when_the_other_would_be():
    payload = Payload(bundle=8, tx_bytes=250, carried=32)
    transactions, size = payload.mempool(1_000_000, 250 * 1000)
    assert transactions * 8 == 1_000_000 and size // 32 * 8 == 1000


def test_codes_and_ciphers_cost_what_the_payload_that_is_not_there_would():
    public, secret = deal(4, 1, lambda count: bytes(count), IDEAL)
    crypto = CostTable.load().crypto
    payload = Payload(bundle=100, tx_bytes=250, carried=32)
    meter = Meter(Costs(CostTable.load()))
    meter.begin()
    keys, own = charged_keys(public, secret[0], meter, crypto, payload)
    spent = dict(meter.operations)

    def rise(name: str) -> float:
        before, spent[name] = spent[name], meter.operations[name]
        return spent[name] - before

    data = keys.encryption.encrypt(bytes(36_000), b"", lambda count: bytes(count))
    assert rise("encrypt") == pytest.approx(crypto.encrypt.of(25_400_000))
    ciphertext = keys.encryption.check([(data, b"")])[0]
    assert rise("check") == pytest.approx(crypto.check.of(1))
    shares = {keys.index: keys.encryption.decryption_share(ciphertext) for keys in secret[:2]}
    keys.encryption.decrypt(ciphertext, shares)
    whole = len(data) * 25_400_000 / 36_000
    assert rise("decrypt") == pytest.approx(crypto.decrypt.of(2) + whole * crypto.open_byte)
    code = keys.suite.code(2, 4)
    shards = code.encode(bytes(36_000))
    assert rise("code") == pytest.approx(crypto.code.of(4 * len(shards[0]) * 25_400 // 36))
    code.complete({2: shards[2], 3: shards[3]})
    assert rise("code") == pytest.approx(crypto.code.of(4 * len(shards[0]) * 25_400 // 36))
    own.coin.sign_share(b"message")
    assert rise("coin_share") == crypto.coin_share
