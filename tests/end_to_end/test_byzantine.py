"""Real clusters in which node 3 lies, each strategy in turn: the others commit, agree, and accuse nobody else."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
import psutil
import pytest
from support.doc_blocks import save_vote_zero
from support.nodes.cluster_harness import running, wait_until

from honeybadger.adversary import EXPECTED_FAULTS, POSSIBLE_FAULTS

pytestmark = pytest.mark.processes

LIAR = 3
CORRECT = (0, 1, 2)
#: strategies that the in-memory network shows least of: they are about load, connections, blocks and certificates. The
#: others are in the soak; one of them is in test_local.py
BY_REAL_NODES = {"silent", "flood", "replay", "bad-certificates", "drip-blocks"}
#: epochs for a strategy to go through its turns
ROUNDS = 8
#: blocks within which the liar must be caught at everything that the table promises
MOST_ROUNDS = 150
#: by so much a correct node may grow under attack; it grows by a few megabytes in any run
GROWTH_BYTES = 40 << 20


@pytest.fixture(scope="module")
def correct(tmp_path_factory):
    """Three correct nodes, for liar after liar."""
    with running(tmp_path_factory.mktemp("correct") / "c", start=CORRECT) as cluster:
        yield cluster


def start_liar(cluster, name):
    cluster.start(LIAR, extra=("--byzantine", name))
    wait_until(lambda: all(cluster.status(index, timeout=30)["peers_connected"] == 3 for index in CORRECT))


def recorded(cluster):
    """(accused, kind) → how often, of all that the correct nodes have counted."""
    counts = Counter()
    for index in CORRECT:
        for node, kind, count in cluster.status(index, timeout=30)["faults"]:
            counts[node, kind] += count
    return counts


def memory(cluster):
    """Resident bytes of the correct nodes."""
    return [psutil.Process(cluster.processes[index].pid).memory_info().rss for index in CORRECT]


def stop_and_check_growth(cluster, before):
    """The liar stops in good order, and the others have not grown by much."""
    assert max(now - then for now, then in zip(memory(cluster), before, strict=True)) < GROWTH_BYTES
    cluster.processes[LIAR].terminate()
    assert cluster.processes[LIAR].wait(30) == 0


@pytest.mark.parametrize(
    "name", [name if name in BY_REAL_NODES else pytest.param(name, marks=pytest.mark.soak) for name in EXPECTED_FAULTS]
)
def test_correct_nodes_go_on_and_accuse_the_liar(correct, name):
    """The liar is caught at all that the table promises; bad shares, for instance, are noticed only if they come in
    time to be tried, so there are more rounds if need be."""
    correct.mark()
    before, size = recorded(correct), memory(correct)
    start_liar(correct, name)
    sent = correct.grow(ROUNDS, *CORRECT, count=5)
    wanted = {(LIAR, kind.name) for kind in EXPECTED_FAULTS[name]}
    rounds = ROUNDS
    while missing := wanted - (recorded(correct) - before).keys():
        assert rounds < MOST_ROUNDS, f"not recorded: {missing}"
        sent += correct.grow(3, *CORRECT, count=5)
        rounds += 3
    stop_and_check_growth(correct, size)
    chain = correct.agree(sent, *CORRECT, liars=[LIAR])
    assert sum(len(block.transactions()) for block in chain) == len(sent)
    accused = recorded(correct) - before
    assert accused.keys() <= {(LIAR, kind.name) for kind in POSSIBLE_FAULTS[name]}
    said = correct.events(LIAR, "usage")[-1]["messages_sent"]
    if name == "silent":
        assert said == {}, "neither votes nor shares of certificates leave a silent node"
    else:
        assert said["BlockShare"] > 0


def test_a_mistake_in_a_strategy_ends_its_node_with_file_and_line(correct, tmp_path, monkeypatch):
    """At a message about a block, which leaves on gevent's hub: errors there stop nothing by themselves."""
    monkeypatch.chdir(tmp_path)
    lines = (
        "from honeybadger.adversary import Adversary",
        "class A(Adversary):",
        "    def lie(self, recipient, message):",
        "        return [message.value] if type(message).__name__ == 'BlockShare' else [message]",
    )
    (tmp_path / "mistaken.py").write_text("\n".join(lines))
    correct.mark()
    # It may say at once what it signed before it stopped, and end before the others are connected to it.
    correct.start(LIAR, extra=("--byzantine", "mistaken:A"))
    sent = correct.outlive(LIAR)
    liar = correct.processes[LIAR]
    assert liar.exit_status == 1
    why = "AttributeError: 'BlockShare' object has no attribute 'value' (mistaken.py, line 4)"
    assert liar.traceback == f"StrategyError: {why}"
    correct.agree(sent + correct.grow(2, *CORRECT, count=5), *CORRECT, liars=[LIAR])


def test_the_strategy_of_the_docs_in_a_directory_of_ones_own(tmp_path, monkeypatch):
    """With the installed command. Other files there are not taken for ours or for Python's."""
    monkeypatch.chdir(save_vote_zero(tmp_path).parent)
    for name in ("crypto", "bench", "random", "signal"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('shadow')")
    command = (Path(sys.executable).with_name("honeybadger"), "local", "--json", "--byzantine", "1:vote_zero:VoteZero")
    result = subprocess.run(
        [*command, "--duration", "1", "--warmup", "0.3", "--rate", "200"], capture_output=True, timeout=120, check=False
    )
    assert result.returncode == 0, result.stderr
    summary = msgspec.json.decode(result.stdout)
    assert summary["byzantine"] == {"3": "vote_zero:VoteZero"} and summary["committed_tx"] > 0
    row = summary["per_node"][LIAR]
    assert (row["exit"], row["traceback"]) == (0, "") and row["messages_handled"] > 0
    assert summary["faults_recorded"] == []


@pytest.mark.soak
@pytest.mark.parametrize("name", ["flood", "replay"])
def test_memory_under_a_long_attack(correct, name):
    """Half a minute under load and half a minute without: nothing piles up."""
    correct.mark()
    size, sent = memory(correct), []
    start_liar(correct, name)
    while len(correct.events(0, "usage")) < 30:
        sent += correct.commit(0, 5)
    wait_until(lambda: len(correct.events(0, "usage")) >= 60)
    correct.agree(sent, *CORRECT, liars=[LIAR])
    stop_and_check_growth(correct, size)
