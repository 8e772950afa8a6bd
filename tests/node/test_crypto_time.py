"""Processor time of cryptography is told by operation, and what is done stays the same."""

import secrets
from pathlib import Path

import msgspec
import pytest
from support.lone_node import Home

from crypto.errors import InvalidCodeword
from honeybadger.cluster.keygen import make_cluster
from honeybadger.node.crypto_time import OPERATIONS, CryptoTime
from honeybadger.node.node import Node
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

ADDRESSES = [("127.0.0.1", 2 * port, 2 * port + 1) for port in range(5000, 5004)]


def test_each_operation_is_counted_once_and_does_what_it_did() -> None:
    time, (plain, (own, *_)) = CryptoTime(), make_cluster(4, 1, HoneyBadgerParameters(), ADDRESSES)
    manifest, keys = time.of(plain, own)
    public, secret = manifest.public_keys, keys.secret_keys
    sealed = public.encryption.encrypt(b"message", b"label", secrets.token_bytes)
    (checked, refused) = plain.public_keys.encryption.check([(sealed, b"label"), (sealed, b"other")])
    assert [item is None for item in public.encryption.check([(sealed, b"label"), (sealed, b"other")])] == [False, True]
    assert checked is not None and refused is None
    assert public.encryption.own(sealed, b"label").data == sealed
    assert secret.encryption.decryption_share(checked) == own.secret_keys.encryption.decryption_share(checked)
    assert not public.encryption.decrypt(checked, {}).done
    assert secret.coin.sign_share(b"coin") == own.secret_keys.coin.sign_share(b"coin")
    assert public.coin.toss(b"coin", {}) == (None, frozenset())
    secret.certificate.sign_share(b"block")
    assert public.certificate.combine(b"block", {}) == (None, frozenset())
    assert not public.certificate.verify(b"block", b"")
    code = public.suite.code(2, 4)
    assert code.value(code.complete(dict(enumerate(code.encode(b"value"))))) == b"value"
    assert time.calls == {
        **dict.fromkeys(("encrypt", "decryption_share", "decrypt", "coin_share", "coin"), 1),
        "check": 2,
        "code": 3,
        "certificate": 3,
    }
    assert list(time.seconds) == list(OPERATIONS) and all(time.seconds.values())
    # What the keys are otherwise is seen through, and the keys given are as they were.
    assert public.coin.threshold == 2 and public.to_dict() == plain.public_keys.to_dict()
    assert secret.to_dict() == own.secret_keys.to_dict()
    before = dict(time.calls)
    plain.public_keys.certificate.verify(b"block", b"")
    assert time.calls == before


def test_a_call_that_raises_is_counted() -> None:
    time, (plain, (own,)) = CryptoTime(), make_cluster(1, 0, HoneyBadgerParameters(), ADDRESSES[:1])
    code = time.of(plain, own)[0].public_keys.suite.code(1, 1)
    with pytest.raises(InvalidCodeword):
        code.complete({})
    assert time.calls["code"] == 1


def test_a_node_reports_what_an_epoch_took_unless_it_is_not_to(tmp_path: Path) -> None:
    for on in (True, False):
        home = Home(tmp_path / str(on))
        home.manifest.runtime = msgspec.structs.replace(home.manifest.runtime, instrumentation=on)
        nodes: list[Node] = []
        home.run(b"a", sabotage=nodes.append)
        # Without it, nothing stands before the keys.
        assert (nodes[0].core.manifest is home.manifest) == (not on)
        last = [details for event, details in home.events if event == "usage"][-1]
        if not on:
            assert not {"crypto_calls", "crypto_cpu_s"} & last.keys()
            continue
        # It is alone: it encrypts and opens what it has made itself, and signs the block.
        called = {name: count for name, count in last["crypto_calls"].items() if count}
        assert called.keys() >= {"encrypt", "check", "decryption_share", "code", "certificate"}
        assert {name for name, seconds in last["crypto_cpu_s"].items() if seconds} == called.keys()
