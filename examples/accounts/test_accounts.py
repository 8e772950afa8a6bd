"""The state machine by itself, and the application on a real cluster whose nodes and followers die."""

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import accounts
import msgspec
import pytest
from accounts import State, Transfer
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.nodes.cluster_harness import running

ALICE, BOB = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
A, B = (key.public_key().public_bytes_raw().hex() for key in (ALICE, BOB))
CHAIN = "ab" * 32
UNSIGNED = "not a transfer that its payer signed"


def transfer(key: Ed25519PrivateKey, number: int, to: str, coins: int, chain: str = CHAIN, **changes: Any) -> bytes:
    one = Transfer(key.public_key().public_bytes_raw().hex(), number, to, coins)
    one.signature = key.sign(one.content(chain))
    return msgspec.json.encode(msgspec.structs.replace(one, **changes))


def test_transfers_move_money_once_and_none_is_made() -> None:
    state = State(CHAIN, {A: 100})
    assert state.apply(transfer(ALICE, 0, B, 60)) == ""
    assert state.balances == {A: 40, B: 60}
    for refused, why in [
        (transfer(ALICE, 0, B, 60), "not the payer's next transfer"),
        (transfer(ALICE, 2, B, 1), "not the payer's next transfer"),
        (transfer(ALICE, 1, B, 41), "more than the payer has"),
        (transfer(BOB, 0, A, 61), "more than the payer has"),
        (transfer(ALICE, 1, B, 1, amount=40), UNSIGNED),
        (transfer(ALICE, 1, A, 1, payee=B), UNSIGNED),
        (transfer(BOB, 1, B, 1, payer=A), UNSIGNED),
        (transfer(ALICE, 1, B, 1, chain="cd" * 32), UNSIGNED),
        (transfer(ALICE, 1, B, 1, amount=-5), UNSIGNED),
        (transfer(ALICE, 1, B, 0), UNSIGNED),
        (transfer(ALICE, 1, B + "\n", 1), UNSIGNED),
        (transfer(ALICE, 1, B.upper(), 1), UNSIGNED),
        (b'{"payer": "' + b"00" * 32 + b'", "number": 0, "payee": "' + A.encode() + b'", "amount": 1}', UNSIGNED),
        (b"hello", UNSIGNED),
        (b"[" * 100_000, UNSIGNED),
        (b"\xff" * 20, UNSIGNED),
    ]:
        assert state.apply(refused) == why, refused[:80]
        assert (state.balances, state.transfers) == ({A: 40, B: 60}, {A: 1})
    assert [state.apply(transfer(ALICE, 1, A, 40)), state.apply(transfer(ALICE, 2, B, 40))] == ["", ""]
    assert state.balances == {A: 0, B: 100}


def test_the_state_on_disk_is_that_of_a_whole_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crash while a block is applied, or before its state is on disk, repeats nothing and leaves nothing out."""
    blocks = [
        SimpleNamespace(height=1, transactions=[transfer(ALICE, 0, B, 10), transfer(ALICE, 1, B, 5)]),
        SimpleNamespace(height=2, transactions=[transfer(BOB, 0, A, 1)]),
    ]
    cluster: Any = SimpleNamespace(
        manifest=SimpleNamespace(chain_id=bytes.fromhex(CHAIN)),
        follow=lambda first, last, timeout_s: iter(blocks[first - 1 :]),
    )
    path = tmp_path / "state"
    for survives in (0, 1):
        moves = iter([Path.rename] * survives)
        with monkeypatch.context() as patch, pytest.raises(StopIteration):
            patch.setattr(Path, "replace", lambda self, target, moves=moves: next(moves)(self, target))
            State.load(path, cluster, A).follow(cluster, path)
        assert State.load(path, cluster, A).height == survives
    state = State.load(path, cluster, A)
    state.follow(cluster, path)
    assert (state.height, state.transfers) == (2, {A: 2, B: 1})
    assert state.balances == {A: 1_000_000 - 14, B: 14}
    assert State.load(path, cluster, A) == state


@pytest.mark.processes
def test_equal_states_at_all_nodes_whatever_dies(tmp_path: Path) -> None:
    def run(name: str, *options: str) -> list[str]:
        common = ("--cluster", str(cluster.manifest_path), "--state", str(tmp_path / f"{name}.json"))
        keys = ("--key", str(tmp_path / f"{name}.key"), *(("--founder", founder) if founder else ()))
        done = CliRunner().invoke(accounts.main, [*common, *keys, *options], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout.splitlines()

    founder = ""
    with running(tmp_path / "c") as cluster:
        [line, _] = run("alice")
        founder, _ = line.split()
        bob = "b" * 64
        assert run("alice", "--pay", bob, "10")[:-1] == sorted([f"{founder} 999990", f"{bob} 10"])

        # A node dies and comes back, while a follower of all goes on.
        followed = State(cluster.manifest.chain_id.hex(), {founder: 1_000_000})
        follower = threading.Thread(target=follow_to_the_end, args=(cluster, followed, tmp_path / "followed.json", bob))
        follower.start()
        cluster.processes[0].kill()
        cluster.processes[0].wait(10)
        assert f"{bob} 35" in run("alice", "--pay", bob, "25")
        cluster.start(0)
        cluster.wait_connected()
        # More than there is: in the ledger, without an effect.
        assert f"{bob} 35" in run("alice", "--pay", bob, "5000000")
        ends = run("alice", "--pay", bob, "7")
        follower.join(60)
        assert not follower.is_alive() and followed.balances[bob] == 42
        height = int(ends[-1].split()[1].rstrip(","))
        cluster.wait_height(height)
        states = [run(f"at-{node}", "--node", str(node)) for node in range(4)]
        assert all(state == ends for state in states), states


def follow_to_the_end(cluster: Any, state: State, path: Path, payee: str) -> None:
    with accounts.Cluster.open(cluster.manifest_path) as opened:
        while state.balances.get(payee, 0) < 42:
            state.follow(opened, path, state.height + 1, 60.0)
