"""One epoch: what is revealed and when, and what becomes of each accepted proposal. Scenarios 18 to 21 and 36."""

import pytest
from support.byzantine.attacks import PLAINTEXTS
from support.byzantine.bench import Bench
from support.byzantine.scripted import CHAIN

from crypto.suites import DEFAULT, find_suite
from honeybadger.adversary.base import Adversary
from honeybadger.adversary.garbage import CIPHERTEXTS, bad_ciphertext
from honeybadger.protocols.honey_badger.contribution import encode_contribution
from honeybadger.protocols.honey_badger.epoch import Epoch, ciphertext_label
from honeybadger.protocols.honey_badger.messages import DecryptionShares, Echo, HoneyBadgerFault, Val, Vote
from honeybadger.protocols.honey_badger.shards_wanted import ShardsWanted
from honeybadger.simulation.journals import JournalModel

LIES = find_suite(DEFAULT).lies


class EpochBench(Bench):
    """Epoch 1 at node 0."""

    def __init__(self, nodes=4, **changes):
        super().__init__(nodes, **changes)
        self.suspects, self.completed, self.values = set(), [], {}
        complete = lambda: self.completed.append(self.epoch.contributions)  # noqa: E731
        wanted = ShardsWanted(self.quorums, self.context.timers)
        self.epoch = Epoch(1, self.context, self.code, self.suspects, wanted, lambda: None, complete)

    def encrypted(self, proposer, plaintext, epoch=1, chain=CHAIN):
        label = ciphertext_label(chain, epoch, proposer)
        return self.public.encryption.encrypt(plaintext, label, self.context.randbytes)

    def proposal(self, proposer):
        return self.encrypted(proposer, encode_contribution([b"tx of %d" % proposer]))

    def deliver(self, proposer, value):
        broadcast = self.epoch.subset.broadcasts[proposer]
        for sender, message in self.broadcast_of(1, proposer, value):
            (broadcast.handle_echo if isinstance(message, Echo) else broadcast.handle_ready)(sender, message)

    def decide(self, proposer, bit):
        for sender, message in self.terms(1, proposer, bit):
            self.epoch.subset.agreements[proposer].handle_term(sender, message)

    def accept(self, *values):
        """The first proposers are accepted with these values, the others refused."""
        for proposer in range(self.quorums.nodes):
            if proposer < len(values):
                self.deliver(proposer, values[proposer])
            self.decide(proposer, proposer < len(values))
        self.values = dict(enumerate(values))

    def shares_of(self, sender):
        """What a correct node reveals."""
        pairs = [(value, ciphertext_label(CHAIN, 1, proposer)) for proposer, value in self.values.items()]
        checked = zip(self.values, self.public.encryption.check(pairs), strict=True)
        secret = self.secrets[sender].encryption
        return [(proposer, secret.decryption_share(c)) for proposer, c in checked if c is not None]

    def reveal(self, *senders):
        for sender in senders:
            self.epoch.handle_decryption_shares(sender, DecryptionShares(1, self.shares_of(sender)))


def accepted(nodes=4, count=None, **changes):
    bench = EpochBench(nodes, **changes)
    bench.accept(*map(bench.proposal, range(count or bench.quorums.quorum)))
    return bench


def good(bench):
    return [(proposer, [b"tx of %d" % proposer]) for proposer in range(bench.quorums.quorum)]


def test_nothing_is_revealed_before_the_whole_subset_is_decided():
    """Scenarios 19, 36: and what is broadcast after that is no part of the epoch."""
    bench = EpochBench()
    for proposer in range(3):
        bench.deliver(proposer, bench.proposal(proposer))
        bench.decide(proposer, True)
    assert not bench.of(DecryptionShares)
    bench.decide(3, False)
    (revealed,) = bench.of(DecryptionShares)
    assert [proposer for proposer, _ in revealed.shares] == [0, 1, 2]
    bench.values = {proposer: bench.epoch._ciphertexts[proposer].data for proposer in range(3)}
    bench.deliver(3, bench.proposal(3))
    bench.reveal(0, 1)
    assert bench.completed == [good(bench)]


@pytest.mark.parametrize("nodes", [4, 5, 7])
def test_shares_of_f_plus_1_nodes_decrypt(nodes):
    bench = accepted(nodes)
    bench.reveal(*range(bench.quorums.faults))
    assert not bench.completed
    bench.reveal(bench.quorums.faults)
    assert bench.completed == [good(bench)] and not bench.faults


def test_early_shares_wait_for_the_decision():
    """Scenario 19: the first message of each sender counts, whatever it says."""
    bench = EpochBench()
    bench.values = {proposer: bench.proposal(proposer) for proposer in range(3)}
    bench.reveal(1, 2)
    bench.epoch.handle_decryption_shares(1, DecryptionShares(1, []))
    identities = [(proposer, LIES.malformed()[0]) for proposer in range(4)]
    bench.epoch.handle_decryption_shares(3, DecryptionShares(1, identities))
    assert not bench.completed
    bench.accept(*bench.values.values())
    assert bench.completed == [good(bench)] and set(bench.faults) <= {(3, HoneyBadgerFault.WRONG_SHARE_SET)}


BAD_SHARES = {
    "random point": lambda bench, sender, shares, k: LIES.stranger(3 + k),
    "identity": lambda bench, sender, shares, k: LIES.malformed()[0],
    "junk": lambda bench, sender, shares, k: b"\x17" * 48,
    "another node's": lambda bench, sender, shares, k: bench.shares_of(bench.quorums.nodes - 1)[k][1],
    "of another ciphertext": lambda bench, sender, shares, k: shares[k - 1][1],
}


@pytest.mark.parametrize("nodes", [4, pytest.param(7, marks=pytest.mark.soak)])
@pytest.mark.parametrize("only", [True, False])
@pytest.mark.parametrize("kind", BAD_SHARES)
def test_bad_decryption_shares(nodes, only, kind):
    """Scenarios 21, 41: f bad ones come first, for all ciphertexts or one each; the senders are named once and for
    all."""
    bench = accepted(nodes)
    liars = range(1, 1 + bench.quorums.faults)
    for liar in liars:
        shares = bench.shares_of(liar)
        bad = [
            (j, share if only and k != liar else BAD_SHARES[kind](bench, liar, shares, k))
            for k, (j, share) in enumerate(shares)
        ]
        bench.epoch.handle_decryption_shares(liar, DecryptionShares(1, bad))
    bench.reveal(0, *range(liars[-1] + 1, nodes))
    assert bench.completed == [good(bench)]
    assert set(bench.faults) == {(liar, HoneyBadgerFault.BAD_DECRYPTION_SHARE) for liar in liars}
    assert bench.suspects == set(liars)


WRONG_SETS = {
    "missing": lambda shares: shares[:-1],
    "extra": lambda shares: [*shares, (3, shares[0][1])],
    "out of range": lambda shares: [*shares, (65535, shares[0][1])],
    "twice": lambda shares: [shares[0], *shares],
    "reversed": lambda shares: shares[::-1],
    "empty": lambda shares: [],
    "endless": lambda shares: shares[:1] * 65_536,
}


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("kind", WRONG_SETS)
def test_wrong_share_sets(kind, early):
    """Scenario 19: shares for anything but the agreed, valid proposals are not used at all. Endless lists (10 MB of
    objects) are not even kept."""
    bench = EpochBench()
    values = [bench.proposal(proposer) for proposer in range(3)]
    bench.values = dict(enumerate(values))
    wrong = DecryptionShares(1, WRONG_SETS[kind](bench.shares_of(1)))
    if early:
        bench.epoch.handle_decryption_shares(1, wrong)
        assert (not bench.epoch._early_shares) == (kind == "endless")
        bench.accept(*values)
    else:
        bench.accept(*values)
        bench.epoch.handle_decryption_shares(1, wrong)
    bench.reveal(0)
    assert not bench.completed and bench.faults == [(1, HoneyBadgerFault.WRONG_SHARE_SET)]
    bench.reveal(2)
    assert bench.completed == [good(bench)]


def with_last(bench, last):
    """Proposals 0 and 1 are good, 2 is `last`; the outcome."""
    bench.accept(bench.proposal(0), bench.proposal(1), last)
    revealed = [proposer for message in bench.of(DecryptionShares) for proposer, _ in message.shares]
    bench.reveal(0, 1)
    (contributions,) = bench.completed
    assert contributions == [*good(bench)[:2], (2, ())]
    return revealed


@pytest.mark.parametrize("kind", CIPHERTEXTS)
def test_included_garbage(kind):
    """Scenario 20: empty, and the proposer is named."""
    bench = EpochBench()
    adversary = Adversary(bench.context)
    adversary.me = 2
    with_last(bench, bad_ciphertext(adversary, kind, 1))
    assert bench.faults == [(2, HoneyBadgerFault.BAD_CIPHERTEXT)]


@pytest.mark.parametrize("kind", PLAINTEXTS)
def test_included_malformed_batches(kind):
    """Scenario 20: what decrypts, but to nothing acceptable."""
    bench = EpochBench()
    with_last(bench, bench.encrypted(2, PLAINTEXTS[kind]))
    assert bench.faults == [(2, HoneyBadgerFault.BAD_CONTRIBUTION)]


@pytest.mark.parametrize("origin", [{"proposer": 1}, {"proposer": 2, "epoch": 2}, {"proposer": 2, "chain": bytes(32)}])
def test_copied_ciphertext(origin):
    """Scenarios 17, 18: of another proposer, epoch or chain: no share is revealed for it."""
    bench = EpochBench()
    assert with_last(bench, bench.encrypted(plaintext=encode_contribution([b"secret"]), **origin)) == [0, 1]
    assert bench.faults == [(2, HoneyBadgerFault.BAD_CIPHERTEXT)]


def test_plaintext_epochs():
    """Scenario 20 without encryption: the bytes are the batch, and nothing is revealed."""
    bench = EpochBench(encryption="never")
    bench.accept(encode_contribution([b"a"]), encode_contribution([]), b"junk")
    assert bench.completed == [[(0, [b"a"]), (1, []), (2, ())]]
    assert bench.faults == [(2, HoneyBadgerFault.BAD_CONTRIBUTION)] and not bench.of(DecryptionShares)


def test_the_own_proposal_is_not_checked_again(monkeypatch):
    """Byte for byte what it sent; anything else under its name is checked like the others'."""
    bench = EpochBench()
    bench.waiting = [b"tx of 0"]
    bench.epoch.propose(bench.select)
    (own,) = {bench.code.value(bench.code.complete({k: m.shard for k, m in bench.to if isinstance(m, Val)}))}
    checked = []
    check = type(bench.public.encryption).check
    monkeypatch.setattr(
        type(bench.public.encryption), "check", lambda self, pairs: (checked.append(len(pairs)), check(self, pairs))[1]
    )
    bench.accept(own, bench.proposal(1), bench.proposal(2))
    assert checked == [2]


@pytest.mark.parametrize("delivered", ["own", "another's", "before a restart"])
def test_the_own_proposal_needs_no_shares(monkeypatch, delivered):
    """Unless something else came under its name, or what it encrypted is forgotten; its shares are revealed."""
    journal = JournalModel()
    bench = EpochBench(journal=journal)
    value = bench.proposal(0)
    if delivered == "before a restart":
        journal.remember(1, Vote.PROPOSAL, 0, 0, value)
        bench.epoch.resume()
    else:
        bench.waiting = [b"own"]
        bench.epoch.propose(bench.select)
    if delivered == "own":
        value = bench.code.value(bench.code.complete({k: m.shard for k, m in bench.to if isinstance(m, Val)}))
    decrypted = []
    key = type(bench.public.encryption)
    decrypt = key.decrypt
    monkeypatch.setattr(key, "decrypt", lambda *args: (decrypted.append(args[1].data), decrypt(*args))[1])
    bench.accept(value, bench.proposal(1), bench.proposal(2))
    (revealed,) = bench.of(DecryptionShares)
    assert [proposer for proposer, _ in revealed.shares] == [0, 1, 2]
    bench.reveal(0, 1)
    first = (0, [b"own"] if delivered == "own" else [b"tx of 0"])
    assert bench.completed == [[first, *good(bench)[1:]]] and not bench.faults
    assert (value in decrypted) == (delivered != "own") and len(decrypted) >= 2


@pytest.mark.parametrize("encryption", ["always", "never"])
def test_the_proposal_is_dispersed_again_as_it_was(encryption):
    """After a restart: other nodes may have echoed it. The own vote comes with it, so its shard has no record."""
    journal = JournalModel()
    first, again = (EpochBench(journal=journal, encryption=encryption) for _ in range(2))
    first.waiting, again.waiting = [b"tx"], [b"another"]
    first.epoch.propose(first.select)
    again.epoch.resume()
    assert again.to == first.to and again.of(Echo) == first.of(Echo) != []
    assert again.selected == []
    assert {vote for vote, *_ in journal.votes(1)} == {1, 2}, "PROPOSAL and ECHO"
