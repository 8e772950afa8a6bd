"""The search itself: verdicts, replay, shrinking, and three well-known mistakes that it must find."""

from types import SimpleNamespace

import msgspec
import pytest
from support.simulation.bugs import EachAuxCounts, broadcast, root_not_recomputed

from honeybadger.protocols.honey_badger.agreements import AGREEMENTS
from honeybadger.protocols.honey_badger.broadcast_hash_echo import HashEcho
from honeybadger.protocols.honey_badger.broadcasts import BROADCASTS
from honeybadger.protocols.honey_badger.messages import Aux, Echo
from honeybadger.protocols.honey_badger.reliable_broadcast import ReliableBroadcast
from honeybadger.protocols.pbft import SPECIFICATION as PBFT
from honeybadger.protocols.pbft import certificates
from honeybadger.protocols.pbft.log import Slot
from honeybadger.protocols.pbft.messages import Commit, PBFTFault, Prepare, PreparedProof
from honeybadger.protocols.pbft.normal_case import NormalCase
from honeybadger.simulation.cluster import SimulatedCluster
from honeybadger.simulation.search import Case, Outage, Wishes, draw, play, search, shrink
from honeybadger.simulation.search.finding import Ended, Finding
from honeybadger.simulation.search.message_words import in_words
from honeybadger.simulation.search.part import OneBroadcast
from honeybadger.simulation.search.pbft_witness import BrokenPromise, PBFTWitness
from honeybadger.simulation.search.rules import Broken
from honeybadger.simulation.search.running import Running
from honeybadger.simulation.search.shrink import fewest
from honeybadger.simulation.search.words import trail

AGREEMENT = Wishes(part="agreement", nodes=(4, 5, 6, 7))
BROADCAST = Wishes(part="broadcast", nodes=(4, 5, 6, 7))


def first_failure(wishes, seeds):
    return next((case, outcome) for case, outcome in search(wishes, seeds) if outcome.verdict != "progressed")


# -- verdicts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["fifo", "lifo", "random", "late:500", "starve:1", "split:200", "biased:300"])
def test_correct_nodes_progress_with_twins_among_them(schedule):
    wishes = Wishes(schedule=schedule, liars={3: "twins"}, restarts=1, parameters={"encryption": "never"})
    outcome = play(draw(wishes, 1))
    assert (outcome.verdict, outcome.why) == ("progressed", "")


def test_too_few_steps_are_a_stall():
    outcome = play(draw(Wishes(schedule="fifo", steps=100), 1))
    assert outcome.verdict == "stalled"
    assert outcome.step == 100
    assert outcome.why == "goal not reached within 100 steps"


def test_more_crashes_than_it_tolerates_are_a_stall():
    case = msgspec.structs.replace(
        draw(Wishes(schedule="fifo"), 1), outages=[Outage(node, 10, None) for node in (1, 2)]
    )
    outcome = play(case)
    assert (outcome.verdict, outcome.way) == ("stalled", "stalled: nothing left to deliver after # steps")


def test_a_crash_that_it_tolerates_is_none():
    assert play(draw(Wishes(schedule="random", crashes=1), 1)).verdict == "progressed"


def test_an_exception_out_of_a_handler_diverges(monkeypatch):
    def fail(self, sender, message):
        raise RuntimeError("no such vote: 7")

    monkeypatch.setattr(ReliableBroadcast, "handle_ready", fail)
    outcome = play(draw(Wishes(schedule="fifo"), 1))
    assert outcome.verdict == "diverged"
    assert outcome.why == "RuntimeError out of a handler: no such vote: 7"


def test_chains_that_differ_diverge_at_the_commit(monkeypatch):
    root_not_recomputed(HashEcho)(monkeypatch)
    _, outcome = first_failure(Wishes(restarts=0), range(100))
    assert outcome.verdict == "diverged"
    assert "commits other contributions in epoch" in outcome.why


def test_what_nobody_submitted_diverges():
    running = Running(draw(Wishes(schedule="fifo"), 1))
    running.run()
    running.cluster.submitted.remove(b"transaction 0 of wave 0")
    with pytest.raises(Broken, match="committed what nobody submitted: b'transaction 0 of wave 0'"):
        running.rules.finish()


def test_a_vote_against_what_was_decided_diverges():
    cluster = SimulatedCluster(4, specification=PBFT, ideal=True)
    witness = PBFTWitness(cluster)
    for sender in (1, 2):
        cluster.network.transmit(sender, 0, Commit(1, 0, b"a" * 32))
    cluster.network.transmit(3, 0, Prepare(1, 0, b"b" * 32, b""))
    witness.check()
    cluster.network.transmit(3, 0, Prepare(1, 1, b"b" * 32, b""))
    with pytest.raises(BrokenPromise, match="a vote against what was decided of number 1 in view 0"):
        witness.check()


@pytest.mark.parametrize("kind", BROADCASTS)
def test_a_broadcast_that_nobody_needs_to_deliver_is_no_stall(kind):
    """Only a silent proposer's. With too few votes for a correct proposer's value, it is one."""
    parameters = {"broadcast": kind}
    silent = Wishes(part="broadcast", schedule="fifo", liars={3: "silent"}, parameters=parameters)
    of_liar, of_correct = [], []
    for case, outcome in search(silent, range(12)):
        assert outcome.verdict == "progressed"
        heard = any(delivery.sender != 3 for delivery in outcome.last)
        (of_correct if heard else of_liar).append(case)
    assert of_liar and of_correct
    gone = [Outage(node, 0, None) for node in (1, 2)]
    assert play(msgspec.structs.replace(of_correct[0], outages=gone)).verdict == "stalled"


def running_broadcast(liars=()):
    case = draw(Wishes(part="broadcast", schedule="fifo", liars=dict.fromkeys(liars, "silent")), 1)
    one = OneBroadcast(case, lambda context: None)
    return one, next(one.goals(None, None))


def delivered(*values, held=0):
    return SimpleNamespace(delivered=list(values), instance=SimpleNamespace(held_bytes=held, most_held=5))


@pytest.mark.parametrize(
    ("nodes", "words"),
    [
        ({0: delivered(b"a"), 1: delivered(b"b")}, "different values"),
        ({0: delivered(b"a", b"a")}, "node 0 delivered twice"),
        ({0: delivered(b"a")}, "did not broadcast"),
        ({1: delivered(held=6)}, "node 1 holds 6 bytes, and 5 are allowed"),
    ],
)
def test_a_broadcast_that_breaks_its_promise_diverges(nodes, words):
    _, reached = running_broadcast()
    with pytest.raises(Broken, match=words):
        reached(nodes)


def test_a_broadcast_is_over_when_all_have_delivered():
    _, reached = running_broadcast(liars=range(4))
    assert not reached({0: delivered(b"a"), 1: delivered()})
    with pytest.raises(Broken, match="different values"):
        reached({1: delivered(b"b")})
    assert running_broadcast(liars=range(4))[1]({0: delivered(b"a"), 1: delivered(b"a")})


def test_the_coin_attack_stalls_the_papers_agreement_only():
    def verdict(agreement):
        parameters = {"agreement": agreement, "coin_schedule": "every-round"}
        wishes = Wishes(part="agreement", schedule="coin-attack", parameters=parameters, steps=3000)
        return play(draw(wishes, 1)).verdict

    assert [verdict(name) for name in ("mmr14", "mmr14-conf")] == ["stalled", "progressed"]


# -- replay --------------------------------------------------------------------------------------------------


def alike(one, other):
    return Ended.of(one) == Ended.of(other) and one.order == other.order and one.said == other.said


@pytest.mark.parametrize("wishes", [Wishes(nodes=(4, 7)), AGREEMENT, BROADCAST, Wishes(protocol="pbft")])
def test_a_seed_repeats_its_case_and_its_run(wishes):
    assert draw(wishes, 5) == draw(wishes, 5) != draw(wishes, 6)
    assert alike(play(draw(wishes, 5)), play(draw(wishes, 5)))


@pytest.mark.parametrize("wishes", [Wishes(), AGREEMENT, BROADCAST, Wishes(protocol="pbft")])
def test_a_recorded_order_gives_the_same_run(wishes):
    for seed in range(2):
        case = draw(wishes, seed)
        outcome = play(case)
        late = [(*link, steps) for link, steps in outcome.order.items()]
        again = play(msgspec.structs.replace(case, late=late, schedule="fifo"))
        assert alike(outcome, again)
        assert outcome.late == again.late > 0 or case.schedule == "fifo"


def test_a_file_gives_the_same_run(tmp_path, monkeypatch):
    monkeypatch.setitem(AGREEMENTS, "mmr14-conf", EachAuxCounts)
    case, outcome = first_failure(AGREEMENT, range(200))
    file = tmp_path / "found.json"
    Finding(honeybadger="1", case=case, ended=Ended.of(outcome)).save(file)
    finding = Finding.load(file)
    assert finding.case == case
    assert alike(finding.replay(), outcome)
    assert Ended.of(finding.replay()) == finding.ended


def test_two_processes_find_what_one_does():
    seeds = range(12)
    one, two = ([(case.seed, Ended.of(outcome)) for case, outcome in search(AGREEMENT, seeds, jobs)] for jobs in (1, 2))
    assert one == two


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schedule": "fiffo"}, "did you mean fifo"),
        ({"liars": {"9": "twins"}}, "there is no node 9"),
        ({"liars": {"3": "twinz"}}, "twinz"),
        ({"nodes": 3}, "3"),
        ({"seed": "x"}, "seed"),
        ({"outages": [{"node": 0, "at": 1, "pause": 1, "point": "nowhere"}]}, "point nowhere is none of"),
        ({"parameters": {"batch_size": 0}}, "batch_size"),
    ],
)
def test_a_spoilt_file_is_refused_in_one_line(tmp_path, change, words):
    case = draw(Wishes(schedule="fifo"), 1)
    outcome = play(case)
    file = tmp_path / "found.json"
    Finding(honeybadger="1", case=case, ended=Ended.of(outcome)).save(file)
    raw = msgspec.json.decode(file.read_bytes())
    raw["case"].update(change)
    file.write_bytes(msgspec.json.encode(raw))
    with pytest.raises(ValueError, match=words) as caught:
        Finding.load(file)
    assert "\n" not in str(caught.value)


# -- shrinking -----------------------------------------------------------------------------------------------


def test_fewest_leaves_out_all_that_it_can():
    for needed in ([], [3], [0, 9], [4, 5, 6], list(range(10))):
        assert fewest(range(10), lambda some, needed=needed: set(needed) <= set(some)) == needed


def test_shrinking_leaves_what_matters(monkeypatch):
    """A node trips over a READY that comes before every ECHO, as none does in order of sending."""
    handle = ReliableBroadcast.handle_ready

    def wrong(self, sender, ready):
        if not self._vote_root:
            raise RuntimeError("tripped")
        handle(self, sender, ready)

    monkeypatch.setattr(ReliableBroadcast, "handle_ready", wrong)
    wishes = Wishes(schedule="random", waves=2, parameters={"encryption": "never"})
    case, outcome = first_failure(wishes, range(300))
    found = shrink(case, outcome, 60.0)
    assert found.finished
    assert found.outcome.way == outcome.way
    assert found.case.waves == 1
    assert 0 < 4 * found.outcome.late < outcome.late
    assert alike(play(found.case), found.outcome)
    lines = list(trail(found.case, found.outcome, 10))
    assert "gets READY(epoch 1, proposer " in lines[-1]
    assert lines[-1].startswith(f"step {found.outcome.step}: node ")
    assert any(" late" in line for line in lines)


def test_liars_keep_to_themselves_what_is_not_needed(monkeypatch):
    monkeypatch.setitem(AGREEMENTS, "mmr14-conf", EachAuxCounts)
    case, outcome = first_failure(AGREEMENT, range(200))
    found = shrink(case, outcome, 60.0)
    assert found.outcome.way == outcome.way
    assert len(found.outcome.said) < len(outcome.said)
    assert found.case.liars, "without a liar nothing would be wrong"
    assert found.outcome.said


def test_liars_do_not_say_what_the_case_leaves_unsaid():
    case = draw(Wishes(schedule="fifo", liars={3: "repeat"}), 1)
    unsaid = list(play(case).said)[::3]
    said = play(msgspec.structs.replace(case, unsaid=unsaid)).said
    assert said and not set(said) & set(unsaid)


def test_shrinking_keeps_to_its_time():
    case = draw(Wishes(schedule="random", steps=100), 1)
    found = shrink(case, play(case), 0.0)
    assert (found.case, found.tries, found.finished) == (case, 0, False)


def test_words():
    assert in_words(Aux(1, 2, 3, True)) == "AUX(epoch 1, proposer 2, round 3, value true)"
    text = in_words(Echo(1, 2, b"\xab" * 32, [b"\0" * 32], b"shard"))
    assert text.startswith("ECHO(epoch 1, proposer 2, root abababab…, ")


# -- planted bugs --------------------------------------------------------------------------------------------


class CountsReadys(HashEcho):
    """READYs are counted, not their senders."""

    def handle_ready(self, sender, message):
        self._ready_root.pop(sender, None)
        super().handle_ready(sender, message)


def count_primary(patch):
    """`prepared` counts the primary's PREPARE, in addition to its PRE-PREPARE."""
    handle = NormalCase.handle

    def handle_all(self, sender, message):
        state = self._state
        of_primary = isinstance(message, Prepare) and sender == self._group.primary(message.view)
        if of_primary and state.low < message.epoch <= state.horizon and message.view == state.normal:
            slot = state.slot(message.epoch)
            slot.add_prepare(sender, message.digest, message.signature)
            self._progress(slot)
        else:
            handle(self, sender, message)

    def try_prepare(self):
        votes = [(node, signature) for node, (d, signature) in sorted(self._prepares.items()) if d == self.digest]
        needed = self._group.quorum - 1
        if self.digest is not None and not self.prepared and self.has_batch and len(votes) >= needed:
            self.proof = PreparedProof(self.number, self.view, self.digest, self.pre_prepare, votes[:needed])
        return []

    patch.setattr(NormalCase, "handle", handle_all)
    patch.setattr(Slot, "try_prepare", try_prepare)
    patch.setattr(certificates, "_prepared_shape", lambda group, proof: "")


def test_it_finds_readys_of_one_sender(monkeypatch):
    broadcast(CountsReadys)(monkeypatch)
    _, outcome = first_failure(Wishes(), range(50))
    assert outcome.verdict == "diverged"


def test_a_node_that_repeats_itself_is_enough(monkeypatch):
    broadcast(CountsReadys)(monkeypatch)
    _, outcome = first_failure(Wishes(schedule="random", liars={3: "repeat"}), range(50))
    assert outcome.why.startswith("node ")
    assert "READY(" in outcome.why


def test_it_finds_auxs_counted_per_value(monkeypatch):
    monkeypatch.setitem(AGREEMENTS, "mmr14-conf", EachAuxCounts)
    _, outcome = first_failure(AGREEMENT, range(200))
    assert outcome.verdict == "diverged"


#: a seed whose run meets it, so that the test is quick: see the one after it
MEETS_IT = 190


def test_it_finds_the_prepare_of_a_primary(monkeypatch):
    count_primary(monkeypatch)
    _, outcome = first_failure(Wishes(protocol="pbft", liars={0: "vote-twice"}), range(MEETS_IT, MEETS_IT + 1))
    assert outcome.verdict == "diverged"


@pytest.mark.soak
def test_it_finds_the_prepare_of_a_primary_from_the_start(monkeypatch):
    count_primary(monkeypatch)
    assert first_failure(Wishes(protocol="pbft"), range(3000))


def test_a_primary_that_votes_twice_is_recorded():
    case = draw(Wishes(protocol="pbft", schedule="fifo", liars={0: "vote-twice"}), 1)
    running = Running(case)
    running.run()
    assert {(fault.node, fault.kind) for fault in running.cluster.network.faults} >= {(0, PBFTFault.UNEXPECTED_VOTE)}


def test_without_a_bug_the_same_searches_find_nothing():
    for wishes in (Wishes(schedule="random", liars={3: "repeat"}), Wishes(protocol="pbft", liars={0: "vote-twice"})):
        assert {outcome.verdict for _, outcome in search(wishes, range(6))} == {"progressed"}


def test_a_case_is_plain_data():
    case = draw(Wishes(), 3)
    assert msgspec.json.decode(msgspec.json.encode(case), type=Case) == case
