"""`honeybadger search`: what it prints, what it writes, how it ends, and what it refuses in one line."""

import json

import pytest

from honeybadger.protocols.quorums import Quorums
from honeybadger.simulation.search import search as play_many

ALONE = ("search", "--part", "agreement", "-n", "4-7", "--seed", "0")
READY = Quorums.ready
STALLED = ("search", "--part", "agreement", "--schedule", "coin-attack", "--agreement", "mmr14", "--allow-flawed")


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def buggy(monkeypatch):
    """bin_values at f+1: the first run meets it."""
    monkeypatch.setattr(Quorums, "ready", property(lambda q: q.faults + 1))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--nodes", "0"), "--nodes 0: must be within 1 to 40"),
        (("--nodes", "7-4"), "--nodes 7-4: must be within 1 to 40, the smaller number first"),
        (("--nodes", "many"), "--nodes many: write a number or a range, such as 4 or 4-7"),
        (("--nodes", "4-5", "--faults", "2"), "faults"),
        (("--runs", "0"), "--runs '0' is not"),
        (("--seed", "-1"), "--seed '-1' is not"),
        (("--jobs", "x"), "--jobs 'x' is not"),
        (("--schedule", "fiffo"), "there is no scheduler fiffo"),
        (("--schedule", "starve:9"), "starve:9: 9 is no node; they are 0 to 3"),
        (("--schedule", "late"), "late says too little: write late:STEPS"),
        (("--schedule", "coin-attack"), "--schedule coin-attack needs --part agreement and four nodes"),
        (("--schedule", "coin-attack", "--part", "agreement", "--byzantine", "3:twins"), "has node 3 for itself"),
        (("--byzantine", "twins"), "--byzantine twins: write NODE:NAME, such as 3:twins"),
        (("--byzantine", "4:twins"), "--byzantine 4:twins: there is no node 4; they are 0 to 3"),
        (("--byzantine", "3:twins,3:silent"), "node 3 is named twice"),
        (("--byzantine", "3:equivocat"), "honeybadger knows no strategy equivocat"),
        (("--byzantine", "3:conspirator", "--protocol", "pbft"), "conspirator speaks honeybadger only"),
        (("--byzantine", "2:twins,3:twins"), "4 nodes tolerate 1 faulty one, not 2: --byzantine and --crash"),
        (("--byzantine", "3:twins", "--crash", "1"), "4 nodes tolerate 1 faulty one, not 2"),
        (("--part", "half"), "--part 'half' is not"),
        (("--part", "agreement", "--protocol", "pbft"), "--part agreement: pbft has no binary agreement"),
        (("--part", "broadcast", "--protocol", "pbft"), "--part broadcast: pbft has no reliable broadcast"),
        (("--part", "broadcast", "--agreement", "crain20"), "--agreement has no meaning with --part broadcast"),
        (("--part", "agreement", "--broadcast", "avid"), "--broadcast has no meaning with --part agreement"),
        (("--part", "agreement", "--transactions", "2"), "--transactions has no meaning with --part agreement"),
        (("--protocol", "pbtf"), 'unknown protocol "pbtf"'),
        (("--protocol", "pbft", "--agreement", "mmr14"), "--agreement is for honeybadger, not for pbft"),
        (("--agreement", "mmr14"), "to study it anyway: --allow-flawed"),
        (("--encryption", "sometimes"), "--encryption"),
        (("--batch-size", "0"), "--batch-size '0' is not"),
        (("--replay", "nowhere.json"), "nowhere.json"),
        (("--replay", "empty.json"), "empty.json is no finding of honeybadger search"),
        (("--replay", "empty.json", "--runs", "3"), "--runs has no meaning with --replay: the file says all"),
        (("--out", "empty.json"), "empty.json exists already; choose another --out"),
        (("--seeds", "3"), "honeybadger search has no option --seeds; did you mean --seed?"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_in_one_line(run, tmp_path, arguments, says):
    (tmp_path / "empty.json").write_text("{}")
    status, out, err = run("search", "--runs" if "--runs" not in arguments else "--steps", "100", *arguments)
    if "--replay" in arguments and "has no meaning" in err:
        # The option that this test gives to be quick is one of those.
        status, out, err = run("search", *arguments)
    assert status != 0 and out == "" and err.count("error: ") == 1 and says in err.splitlines()[-1]


def test_nothing_found(run, tmp_path):
    status, out, err = run(*ALONE, "--runs", "20")
    assert (status, err) == (0, "seeds 0 to 19\n")
    assert out.startswith("20 runs: 20 progressed, 0 stalled, 0 diverged; ")
    assert not list(tmp_path.iterdir())


def test_a_finding_is_written_and_replays(run, buggy, tmp_path):
    status, out, err = run(*ALONE, "--runs", "8", "--shrink", "20", "--last", "3")
    assert status == 1
    assert "diverged: node " in err and "replay it with: honeybadger search --replay found-1.json" in out
    (verdict,) = [line for line in out.splitlines() if line.startswith("diverged at step ")]
    status, again, err = run("search", "--replay", "found-1.json", "--last", "3")
    assert (status, err) == (1, "")
    assert verdict in again and again in out
    assert json.loads((tmp_path / "found-1.json").read_bytes())["version"] == 1


def test_a_finding_that_the_code_no_longer_has(run, buggy, monkeypatch):
    assert run(*ALONE, "--runs", "8", "--shrink", "0", "--out", "mine.json")[0] == 1
    monkeypatch.setattr(Quorums, "ready", READY)
    status, out, _ = run("search", "--replay", "mine.json")
    assert status == 0 and "now it progressed" in out and "the code has changed" in out


def test_a_finding_can_be_shrunk_later(run, buggy, tmp_path):
    assert run(*ALONE, "--runs", "8", "--shrink", "0")[0] == 1
    status, out, _ = run("search", "--replay", "found-1.json", "--shrink", "20")
    assert status == 1 and "shrunk in " in out and "found-2.json" in out
    one, two = (json.loads((tmp_path / f"found-{k}.json").read_bytes())["case"] for k in (1, 2))
    assert one["late"] is None and two["late"] is not None


def test_stalls_are_failures_unless_they_are_expected(run, tmp_path):
    arguments = (*STALLED, "--coin-schedule", "every-round", "--steps", "1000", "--runs", "2", "--shrink", "0")
    status, out, err = run(*arguments, "--expect-stalls")
    assert (status, list(tmp_path.iterdir())) == (0, []), err
    assert out.startswith("2 runs: 0 progressed, 2 stalled, 0 diverged")
    status, out, _ = run(*arguments)
    assert status == 1 and "stalled at step 1000: goal not reached within 1000 steps" in out


def test_an_interrupt_prints_the_totals_so_far(run, monkeypatch):
    def interrupted(*arguments):
        for number, one in enumerate(play_many(*arguments)):
            if number == 3:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr("honeybadger.simulation.search.search", interrupted)
    status, out, _ = run(*ALONE, "--runs", "20")
    assert status == 130
    assert out.startswith("interrupted: 3 runs: 3 progressed, 0 stalled, 0 diverged")


def test_two_processes(run):
    one, two = (run(*ALONE, "--runs", "12", "--jobs", jobs) for jobs in (1, 2))
    assert one == two
