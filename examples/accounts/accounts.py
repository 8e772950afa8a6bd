"""Accounts and transfers. The nodes order bytes; what a transfer does is decided here, alike for all who follow."""

from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import click
import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from honeybadger.client import Cluster, TimedOut

Account = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]  # an Ed25519 public key


class Transfer(msgspec.Struct, forbid_unknown_fields=True):
    """`number` counts the payer's transfers from 0, so that each is carried out once."""

    payer: Account
    number: int
    payee: Account
    amount: Annotated[int, msgspec.Meta(ge=1, le=2**62)]
    signature: bytes = b""

    def content(self, chain: str) -> bytes:
        return msgspec.json.encode(["transfer", chain, self.payer, self.number, self.payee, self.amount])


class State(msgspec.Struct):
    """What follows from the blocks up to `height`. Only the owner of an account's key can pay from it."""

    chain: str
    balances: dict[str, int]
    transfers: dict[str, int] = {}
    height: int = 0

    @staticmethod
    def load(path: Path, cluster: Cluster, founder: str) -> "State":
        first = State(cluster.manifest.chain_id.hex(), {founder: 1_000_000})
        return msgspec.json.decode(path.read_bytes(), type=State) if path.exists() else first

    def apply(self, transaction: bytes) -> str:
        """Carry out a transaction; "", or why it has no effect. Depends on nothing but its bytes and this state."""
        try:
            t = msgspec.json.decode(transaction, type=Transfer)
            Ed25519PublicKey.from_public_bytes(bytes.fromhex(t.payer)).verify(t.signature, t.content(self.chain))
        except (msgspec.MsgspecError, RecursionError, ValueError, InvalidSignature):
            return "not a transfer that its payer signed"
        if t.number != self.transfers.get(t.payer, 0):
            return "not the payer's next transfer"
        if t.amount > self.balances.get(t.payer, 0):
            return "more than the payer has"
        self.transfers[t.payer] = t.number + 1
        self.balances[t.payer] -= t.amount
        self.balances[t.payee] = self.balances.get(t.payee, 0) + t.amount
        return ""

    def follow(self, cluster: Cluster, path: Path, last: int | None = None, timeout_s: float | None = None) -> None:
        """Apply further blocks. Height and balances reach the disk together or not at all."""
        for block in cluster.follow(self.height + 1, last, timeout_s):
            for why in filter(None, map(self.apply, block.transactions)):
                click.echo(f"block {block.height}: ignored, {why}", err=True)
            self.height = block.height
            path.with_suffix(".new").write_bytes(msgspec.json.encode(self))
            path.with_suffix(".new").replace(path)


@click.command()
@click.option("--cluster", "manifest", required=True, help="The cluster's manifest.")
@click.option("--state", type=Path, required=True, help="Where height and balances are kept.")
@click.option("--key", type=Path, required=True, help="Your secret key; made if it is not there.")
@click.option("--founder", help="The account that begins with a million.  [default: yours]")
@click.option("--pay", nargs=2, type=(str, int), help="An account and an amount.")
@click.option("--node", type=int, help="Read from this node only.")
def main(manifest: str, state: Path, key: Path, founder: str, pay: tuple[str, int] | None, node: int | None) -> None:
    """Catch up with the ledger, perhaps pay somebody, and show the balances."""
    key.touch(mode=0o600)
    key.write_bytes(key.read_bytes() or Ed25519PrivateKey.generate().private_bytes_raw())
    secret = Ed25519PrivateKey.from_private_bytes(key.read_bytes())
    me = secret.public_key().public_bytes_raw().hex()
    with Cluster.open(manifest, **({} if node is None else {"nodes": [node], "confirmations": 1})) as cluster:
        accounts = State.load(state, cluster, founder or me)
        with suppress(TimedOut):
            accounts.follow(cluster, state, timeout_s=1.0)
        if pay:
            transfer = Transfer(me, accounts.transfers.get(me, 0), *pay)
            transfer.signature = secret.sign(transfer.content(accounts.chain))
            accounts.follow(cluster, state, last=cluster.submit([msgspec.json.encode(transfer)])[0])
    for account, amount in sorted(accounts.balances.items()):
        click.echo(f"{account} {amount}")
    click.echo(
        f"block {accounts.height}, state {sha256(msgspec.json.encode(accounts, order='sorted')).hexdigest()[:16]}"
    )


if __name__ == "__main__":
    main()
