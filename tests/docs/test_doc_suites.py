"""docs/suites.md names every suite, and its table of sizes is right."""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from crypto.dealer import deal
from crypto.suites import SUITE_NAMES, SuiteMissing, find_suite
from honeybadger.protocols.parameters import SuiteName

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "suites.md").read_text(encoding="utf-8")


def sizes(suite: str, nodes: int, faults: int) -> dict[str, int]:
    """The column of the table, worked out."""
    table = PAGE.split("\n## Sizes\n")[1].split("\n## ")[0]
    headings, _, *rows = [line.strip("|").split("|") for line in table.splitlines() if line.startswith("|")]
    column = [heading.strip().strip("`") for heading in headings].index(suite)
    return {cells[0].strip(): worked_out(cells[column].strip(), nodes, faults) for cells in rows}


def worked_out(text: str, nodes: int, faults: int) -> int:
    """Of a sum of numbers, of multiples of f+1 or N, and of ⌈N/8⌉."""
    known = {"f+1": faults + 1, "(f+1)": faults + 1, "N": nodes, "⌈N/8⌉": -(-nodes // 8), "": 1}
    total = 0
    for part in text.split(" + "):
        number, _, of = part.partition("·")
        total += known[part] if part in known else int(number) * known[of]
    return total


def measured(suite: str, nodes: int, faults: int) -> Iterator[tuple[str, int]]:
    try:
        public, secret = deal(nodes, faults, suite=find_suite(suite))
    except SuiteMissing:
        pytest.skip(f"no {suite}: make charm")
    message, label = b"message", b"label"
    sealed = public.encryption.encrypt(message, label, secrets.token_bytes)
    (ciphertext,) = public.encryption.check([(sealed, label)])
    yield "ciphertext, more than its plaintext", len(sealed) - len(message)
    yield "decryption share", len(secret[0].encryption.decryption_share(ciphertext))
    yield "coin share", len(secret[0].coin.sign_share(message))
    shares = {index: secret[index].certificate.sign_share(message) for index in range(faults + 1)}
    yield "certificate share", len(shares[0])
    proof, _ = public.certificate.combine(message, shares)
    yield "certificate", len(proof or b"")
    yield "public key of the encryption", sum(map(len, public.encryption.parts))
    yield "public key of the coin", sum(map(len, public.coin.parts))
    yield "public key of the certificate", sum(map(len, public.certificate.parts))


@pytest.mark.parametrize(("nodes", "faults"), [(4, 1), (10, 3)])
@pytest.mark.parametrize("suite", ["bls", "charm"])
def test_sizes(suite: str, nodes: int, faults: int) -> None:
    assert sizes(suite, nodes, faults) == dict(measured(suite, nodes, faults))


def test_every_suite_is_named_and_has_as_many_nodes() -> None:
    assert get_args(SuiteName) == SUITE_NAMES
    assert all(f"`{name}`" in PAGE for name in SUITE_NAMES)
    (most,) = re.findall(r"\| N at most \| (\d+) \| (\d+) \|", PAGE)
    for name, text in zip(("bls", "charm"), most, strict=True):
        try:
            assert find_suite(name).most_nodes == int(text)
        except SuiteMissing:
            pytest.skip(f"no {name}: make charm")
