"""Ideal keys keep what a suite promises, real nodes cannot have them, and charged keys cost what the table says."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto.dealer import PublicKeys, SecretKeys, deal
from crypto.errors import CryptoError, InvalidKey
from crypto.suites import SUITE_NAMES, find_suite
from honeybadger.simulation.virtual_time.charged import charged_keys
from honeybadger.simulation.virtual_time.costs import Costs, Meter
from honeybadger.simulation.virtual_time.ideal import HEADER_BYTES, IDEAL, TAG_BYTES, IdealKey
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS
from honeybadger.simulation.virtual_time.table import CostTable

RANDBYTES = random.Random(1).randbytes
PUBLIC, SECRET = deal(4, 1, random.Random(2).randbytes, IDEAL)
OTHER = deal(4, 1, random.Random(3).randbytes, IDEAL)[1]
MESSAGE, LABEL = b"message", b"label"


def test_no_real_node_can_choose_it():
    assert IDEAL.name not in SUITE_NAMES
    with pytest.raises(LookupError):
        find_suite(IDEAL.name)


def test_lengths_are_those_of_the_default_suite():
    public, secret = deal(4, 1, RANDBYTES, find_suite("bls"))
    data = public.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)
    assert len(data) == len(PUBLIC.encryption.encrypt(MESSAGE, LABEL, RANDBYTES)) == HEADER_BYTES + len(MESSAGE)
    assert len(secret[0].coin.sign_share(MESSAGE)) == len(SECRET[0].coin.sign_share(MESSAGE)) == TAG_BYTES
    assert PUBLIC.certificate.proof_bytes == public.certificate.proof_bytes


@given(st.binary(max_size=40))
def test_any_two_shares_toss_the_same_coin(message):
    shares = {keys.index: keys.coin.sign_share(message) for keys in SECRET}
    coins = {PUBLIC.coin.toss(message, {i: shares[i] for i in chosen}) for chosen in combinations(shares, 2)}
    assert len(coins) == 1 and next(iter(coins))[0] in (0, 1)
    assert PUBLIC.coin.toss(message, {0: shares[0]}) == (None, frozenset())


def test_coins_of_different_messages_differ_sometimes():
    tossed = [
        PUBLIC.coin.toss(m, {k.index: k.coin.sign_share(m) for k in SECRET})[0] for m in map(str.encode, "abcdefghijkl")
    ]
    assert set(tossed) == {0, 1}


@pytest.mark.parametrize(
    "bad",
    [
        *(b"", bytes(TAG_BYTES), SECRET[1].coin.sign_share(MESSAGE), OTHER[0].coin.sign_share(MESSAGE)),
        *(SECRET[0].coin.sign_share(b"another"), IDEAL.lies.stranger(1), *IDEAL.lies.malformed()),
    ],
)
def test_a_bad_share_is_named_and_does_not_count(bad):
    good = {keys.index: keys.coin.sign_share(MESSAGE) for keys in SECRET}
    assert not PUBLIC.coin.verify_share(0, MESSAGE, bad) and PUBLIC.coin.verify_share(0, MESSAGE, good[0])
    assert PUBLIC.coin.toss(MESSAGE, {**good, 0: bad}) == (PUBLIC.coin.toss(MESSAGE, good)[0], frozenset({0}))
    assert PUBLIC.coin.toss(MESSAGE, {0: bad, 1: good[1]}) == (None, frozenset({0}))


def test_a_certificate_proves_one_message_only():
    shares = {keys.index: keys.certificate.sign_share(MESSAGE) for keys in SECRET[:2]}
    proof, bad = PUBLIC.certificate.combine(MESSAGE, shares)
    assert proof is not None and not bad and PUBLIC.certificate.verify(MESSAGE, proof)
    assert not PUBLIC.certificate.verify(b"another", proof) and not PUBLIC.certificate.verify(MESSAGE, proof[:-1])
    assert PUBLIC.certificate.combine(MESSAGE, {0: shares[0]}) == (None, frozenset())


@given(st.binary(max_size=100), st.integers(0, 10**6))
def test_a_ciphertext_opens_for_its_label_only_and_not_if_a_bit_is_changed(message, at):
    key = PUBLIC.encryption
    data = key.encrypt(message, LABEL, RANDBYTES)
    (checked, other) = key.check([(data, LABEL), (data, b"another")])
    assert checked is not None and other is None
    changed = bytearray(data)
    changed[at % len(data)] ^= 1
    assert key.check([(bytes(changed), LABEL)]) == [None]
    shares = {keys.index: keys.encryption.decryption_share(checked) for keys in SECRET[1:3]}
    assert key.decrypt(checked, shares).plaintext == message
    assert not key.decrypt(checked, {1: shares[1]}).done
    assert key.decrypt(checked, {**shares, 0: shares[1]}).bad == {0}


def test_a_spoilt_ciphertext_passes_the_check_and_opens_nowhere():
    data = IDEAL.lies.spoilt(PUBLIC.encryption, MESSAGE, LABEL, RANDBYTES, "body")
    (checked,) = PUBLIC.encryption.check([(data, LABEL)])
    shares = {keys.index: keys.encryption.decryption_share(checked) for keys in SECRET}
    outcome = PUBLIC.encryption.decrypt(checked, shares)
    assert outcome.done and outcome.plaintext is None and not outcome.bad
    assert PUBLIC.encryption.check([(IDEAL.lies.identity_header(data), LABEL)]) == [None]


def test_keys_that_do_not_fit_are_refused():
    with pytest.raises(InvalidKey):
        IdealKey(4, 2, [b"short"])
    with pytest.raises(InvalidKey):
        IDEAL.coin.secret(1, SECRET[0].coin.to_bytes(), PUBLIC.coin)
    with pytest.raises(CryptoError):
        PUBLIC.coin.verify_share(4, MESSAGE, b"")


def charged(mode: str = "table") -> tuple[Meter, CostTable, PublicKeys, SecretKeys]:
    table = CostTable.load()
    meter = Meter(Costs(table, mode))  # type: ignore[arg-type]
    meter.begin()
    return meter, table, *charged_keys(PUBLIC, SECRET[0], meter, table.crypto, CARRIED_AS_IT_IS)


def test_every_operation_costs_what_the_table_says():
    meter, table, public, secret = charged()
    crypto, spent = table.crypto, 0.0

    def cost(result: object, expected: float, name: str) -> object:
        nonlocal spent
        assert meter.elapsed - spent == pytest.approx(expected) and expected > 0
        spent = meter.elapsed
        assert meter.operations[name] > 0
        return result

    data = cost(public.encryption.encrypt(bytes(1000), LABEL, RANDBYTES), crypto.encrypt.of(1000), "encrypt")
    checked = cost(public.encryption.check([(data, LABEL)] * 3), crypto.check.of(3), "check")[0]
    share = cost(secret.encryption.decryption_share(checked), crypto.decryption_share, "decryption_share")
    shares = {0: share, 1: SECRET[1].encryption.decryption_share(checked), 2: b""}
    expected = crypto.decrypt.of(2) + len(data) * crypto.open_byte
    assert cost(public.encryption.decrypt(checked, shares, ()), expected, "decrypt").plaintext == bytes(1000)
    signed = {0: cost(secret.coin.sign_share(MESSAGE), crypto.coin_share, "coin_share")}
    assert public.coin.toss(MESSAGE, signed, ()) == (None, frozenset()) and meter.elapsed == spent
    cost(public.coin.toss(MESSAGE, signed | {1: SECRET[1].coin.sign_share(MESSAGE)}, ()), crypto.coin.of(2), "coin")
    code = public.suite.code(2, 4)
    shards = cost(code.encode(bytes(1000)), crypto.code.of(4 * code.shard_length(1000)), "code")
    cost(code.complete({2: shards[2], 3: shards[3]}), crypto.code.of(4 * len(shards[0])), "code")
    assert code.value(shards) == bytes(1000)
    signed = {0: cost(secret.certificate.sign_share(MESSAGE), crypto.certificate_share, "certificate")}
    signed |= {1: SECRET[1].certificate.sign_share(MESSAGE)}
    proof, _ = cost(public.certificate.combine(MESSAGE, signed, ()), crypto.certificate.of(2), "certificate")
    assert cost(public.certificate.verify(MESSAGE, proof), crypto.certificate.once, "certificate")
    assert meter.end() == meter.total == pytest.approx(sum(meter.operations.values()))


def test_what_is_measured_is_not_charged_as_well():
    meter = Meter(Costs(CostTable.load(), "measured", factor=0.0))
    meter.begin()
    meter.work(1.0)
    meter.operation("coin", 1.0)
    assert meter.elapsed == 0 and not meter.operations
    meter.outside(0.5)
    assert meter.end() == 0.5 and meter.elapsed == 0


def test_measured_time_is_multiplied():
    meter = Meter(Costs(CostTable.load(), "measured", factor=1e6))
    meter.begin()
    sum(range(100_000))
    assert meter.end() > 1.0
