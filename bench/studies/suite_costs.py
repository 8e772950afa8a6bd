"""What each operation of a cryptographic suite costs on this machine: medians, with the keys of a cluster of N nodes.

Only the interface of `crypto.suite` is used, so any suite can be measured. Costs of groups and pairings are there for a
suite whose keys have a `group` or a `pairing`.
"""

import secrets
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, TypeAlias

from bench.places.hardware import machine, versions
from bench.studies.timing import middle, timed
from crypto.dealer import deal
from crypto.errors import CryptoError
from crypto.suite import Suite
from crypto.suites import SUITE_NAMES, SuiteMissing, find_suite, installed_suites
from honeybadger.cluster.errors import ClusterError
from honeybadger.protocols.quorums import BYZANTINE, Quorums

SMALL, LARGE = 250, 1 << 20
_LABEL, _DST = b"a label of bench", b"HONEYBADGER-BENCH-V1-"

#: what is done, and what does it once
Operation: TypeAlias = tuple[str, Callable[[], object]]


def suite_costs(nodes: int, seconds: float, only: str | None = None) -> dict[str, Any]:
    """Time `only` this suite, or all that are installed, for about `seconds`; ClusterError, in one line, for one that
    is not installed, or not made for so many nodes.

    `suites`: name → rows with `what` and `seconds`; `missing`: name → why it is not there.
    """
    try:
        suites = [find_suite(only)] if only else installed_suites()
    except SuiteMissing as error:
        raise ClusterError(str(error)) from None
    quorums = Quorums(nodes, BYZANTINE.largest_faults(nodes))
    try:
        operations = {suite.name: list(_operations(suite, quorums)) for suite in suites if nodes <= suite.most_nodes}
    except CryptoError as error:
        raise ClusterError(str(error)) from None
    if not operations:
        most = max(suite.most_nodes for suite in suites)
        raise ClusterError(f"{nodes} nodes are too many: {most} are the most")
    too_small = {suite.name: f"at most {suite.most_nodes} nodes" for suite in suites if nodes > suite.most_nodes}
    each = seconds / sum(map(len, operations.values()))
    found = {
        name: [{"what": what, "seconds": middle(partial(timed, run), each)} for what, run in rows]
        for name, rows in operations.items()
    }
    return {
        "nodes": nodes,
        "faults": quorums.faults,
        "suites": {name: _with_difference(rows) for name, rows in found.items()},
        "missing": {} if only else missing_suites() | too_small,
        "machine": machine(),
        "versions": versions(),
    }


def missing_suites() -> dict[str, str]:
    """The suites that are not installed, and what to do."""
    missing = {}
    for name in SUITE_NAMES:
        try:
            find_suite(name)
        except SuiteMissing as error:
            missing[name] = str(error).removeprefix(f"suite = {name}: ")
    return missing


def _with_difference(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A suite does not show its cipher; what a long message costs more than a short one is nearly all of it."""
    taken = {row["what"]: row["seconds"] for row in rows}
    aead = max(0.0, taken["encrypt 1 MiB"] - taken["encrypt 250 bytes"])
    place = [*taken].index("encrypt 1 MiB") + 1
    return [*rows[:place], {"what": "AEAD and hash of 1 MiB (difference)", "seconds": aead}, *rows[place:]]


def _operations(suite: Suite, quorums: Quorums) -> Iterator[Operation]:
    public, secret = deal(quorums.nodes, quorums.faults, suite=suite)
    yield from _of_encryption(public.encryption, [keys.encryption for keys in secret], quorums)
    yield from _of_coin(public.coin, [keys.coin for keys in secret])
    yield from _of_certificate(public.certificate, [keys.certificate for keys in secret])
    yield from _of_code(suite, quorums)
    yield from _of_groups([public.encryption, public.coin, public.certificate])


def _of_groups(keys: Sequence[Any]) -> Iterator[Operation]:
    """Of the groups that the keys say they are made of; each once."""
    groups = {group.encoded_length: group for key in keys if (group := getattr(key, "group", None)) is not None}
    for length, group in sorted(groups.items()):
        scalar = secrets.randbelow(group.order - 1) + 1
        point = group.multiply(group.generator, scalar)
        encoded = group.encode(point)
        of = f"a point ({length} bytes)"
        yield f"multiply {of}", partial(group.multiply, point, scalar)
        yield f"hash to {of}", _on_new(partial(group.hash, dst=_DST + group.hash_suite))
        yield f"encode {of}", partial(group.encode, point)
        yield f"decode {of}", partial(group.decode, encoded)
    if pairing := next((key.pairing for key in keys if hasattr(key, "pairing")), None):
        sides = (pairing.g1.generator, pairing.g2.generator)
        yield "pairing check", partial(pairing.pairings_equal, *sides, *sides)


def _on_new(function: Callable[[bytes], object]) -> Callable[[], object]:
    """On another message each time: keys remember what they hashed."""
    numbers = count()
    return lambda: function(next(numbers).to_bytes(8, "big"))


def _of_encryption(key: Any, secret: Sequence[Any], quorums: Quorums) -> Iterator[Operation]:
    short, long = secrets.token_bytes(SMALL), secrets.token_bytes(LARGE)
    encrypted = [(key.encrypt(short, _LABEL, secrets.token_bytes), _LABEL) for _ in range(quorums.quorum)]
    (checked, *_) = key.check(encrypted[:1])
    shares = {index: secret[index].decryption_share(checked) for index in range(key.threshold)}
    yield "encrypt 250 bytes", partial(key.encrypt, short, _LABEL, secrets.token_bytes)
    yield "encrypt 1 MiB", partial(key.encrypt, long, _LABEL, secrets.token_bytes)
    yield "check a ciphertext", partial(key.check, encrypted[:1])
    yield f"check N-f = {quorums.quorum} ciphertexts together", partial(key.check, encrypted)
    yield "decryption share", partial(secret[0].decryption_share, checked)
    yield "verify a decryption share", partial(key.verify_share, 0, checked, shares[0])
    yield f"decrypt with f+1 = {key.threshold} shares", partial(key.decrypt, checked, shares)


def _of_coin(key: Any, secret: Sequence[Any]) -> Iterator[Operation]:
    message = b"a coin of bench"
    shares = {index: secret[index].sign_share(message) for index in range(key.threshold)}
    yield "coin share", _on_new(secret[0].sign_share)
    yield "verify a coin share", partial(key.verify_share, 0, message, shares[0])
    yield f"toss with f+1 = {key.threshold} shares", partial(key.toss, message, shares)


def _of_certificate(key: Any, secret: Sequence[Any]) -> Iterator[Operation]:
    message = b"a block of bench"
    shares = {index: secret[index].sign_share(message) for index in range(key.threshold)}
    proof, _ = key.combine(message, shares)
    yield "certificate share", _on_new(secret[0].sign_share)
    yield f"combine a certificate of f+1 = {key.threshold} shares", partial(key.combine, message, shares)
    yield "verify a certificate", partial(key.verify, message, proof)


def _of_code(suite: Suite, quorums: Quorums) -> Iterator[Operation]:
    code, value = suite.code(quorums.data_shards, quorums.nodes), secrets.token_bytes(LARGE)
    # The dearest case: of the data shards, as many are missing as can be.
    last = dict(list(enumerate(code.encode(value)))[-code.data :])
    yield "erasure code, encode 1 MiB", partial(code.encode, value)
    yield "erasure code, restore 1 MiB", lambda: code.value(code.complete(last))
