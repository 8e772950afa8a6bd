"""What a person may mistype, confuse or not mean, and the one line that says so before anything starts."""

from pathlib import Path

import pytest
from support.results import experiment_results

import bench.run.single_run
from bench.plan.experiment import READY_MADE
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters


def ledger(data: Path) -> None:
    SQLiteStore(data / "ledger.sqlite", "os", chain_id=bytes(32)).close()


def files(directory: Path) -> list[Path]:
    """Without those that SQLite makes for a reader."""
    return sorted(path for path in directory.rglob("*") if not path.name.startswith("ledger.sqlite-"))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """What an evening leaves: two clusters, of which one has run; results of an experiment, and a run that was kept; a
    run of `honeybadger local`; manifests and options of runs, some of them mistyped."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bench.run.single_run.SingleRun, "run", lambda _: {"valid": True, "warnings": []})
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name in ("demo", "other"):
        write_cluster(Path(name), *make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", 7100, 7101)]))
    ledger(Path("demo/node-0/data"))
    experiment_results(Path("runs/x"), [1000.0], nodes=[4])
    ledger(Path("kept/runs/one/raw/node-2/data"))
    Path("kept/runs/one/summary.json").write_text("{}")
    ledger(Path("once/node-0/data"))
    Path("once/cluster.toml").touch()
    Path("once/summary.json").write_text("{}")
    for name, text in {
        "lists": "nodes = [4, 7]",
        "series": "nodes = 4\n[[series]]\nrate = 4",
        "repeats": "repeats = 3",
        "named": 'about = "one run"',
        "run": "nodes = 4",
        "typo": "ndoes = 4",
        "repeat": "repeat = 4",
        "x": "nodes = [4]",
    }.items():
        Path(f"{name}.toml").write_text(text)
    Path("lines").write_text("one\n")
    Path("word.toml").write_text("nodes = 4\ncoin-schedule = every-round\n")
    Path("flip_bit.py").write_text("print('it runs')\nclass FlipBit(Adversary):\n    pass\nclass Helper:\n    pass\n")
    Path("experiments").mkdir()
    Path("experiments/first.toml").touch()
    return tmp_path


KEYS = "--keys other/node-0/keys.toml --data new"
RESULTS = "here the results of `honeybadger bench run` are meant"
ONCE = f"once holds a run of `honeybadger local`, whose figures are in once/summary.json; {RESULTS}"
#: mistake → exit status and the line
MISTAKES = {
    # Names that are nearly right.
    "locl": (2, "honeybadger has no command 'locl'; did you mean local?"),
    "help": (2, "honeybadger has no command 'help'; honeybadger --help shows what it takes"),
    "bench rnu x.toml": (2, "honeybadger bench has no command 'rnu'; did you mean run?"),
    "ledger shwo demo": (2, "honeybadger ledger has no command 'shwo'; did you mean show?"),
    "cluster compse demo": (2, "honeybadger cluster has no command 'compse'; did you mean compose?"),
    "local --crsh 1": (2, "honeybadger local has no option --crsh; did you mean --crash?"),
    "local --batch 100": (2, "honeybadger local has no option --batch; did you mean --batch-size?"),
    "local --no-cruve": (2, "honeybadger local has no option --no-cruve; did you mean --no-curve?"),
    "local --xyzzy": (2, "honeybadger local has no option --xyzzy; honeybadger local --help shows what it takes"),
    "bench run x.toml --dryrun": (2, "honeybadger bench run has no option --dryrun; did you mean --dry-run?"),
    "ledger show demo --lats 1": (2, "honeybadger ledger show has no option --lats; did you mean --last?"),
    "cluster load --clustr demo": (2, "honeybadger cluster load has no option --clustr; did you mean --cluster?"),
    "local --protocol PBFT": (
        2,
        'unknown protocol "PBFT"; installed: honeybadger, hotstuff, pbft, raft, sequencer, vr, zab; did you mean pbft?',
    ),
    "keygen --out new --protocol honeybager": (
        2,
        'unknown protocol "honeybager"; installed: honeybadger, hotstuff, pbft, raft, sequencer, vr, zab; '
        "did you mean honeybadger?",
    ),
    "local --wan two-region": (
        2,
        "--wan: there is no WAN profile 'two-region': use eight-regions, five-regions, two-regions or the path of a "
        ".toml file; did you mean two-regions?",
    ),
    "local --durability fsnc": (
        2,
        "--durability 'fsnc' is not one of fsync, os, memory; did you mean fsync?",
    ),
    "local --rate 5 --arrivals poison": (
        2,
        "--arrivals 'poison' is not one of fixed, poisson; did you mean poisson?",
    ),
    "local --encryption nevr": (
        2,
        '--encryption "nevr" is not one of "always", "never", "every:N", "first:M,of:N"; did you mean never?',
    ),
    f"node --cluster demo/cluster.toml {KEYS} --durability fsnc": (
        2,
        "--durability: 'fsnc' is not one of 'fsync', 'os', 'memory'; did you mean fsync?",
    ),
    "bench report runs/x --format tabel": (
        2,
        "--format: 'tabel' is not one of 'table', 'markdown', 'csv'; did you mean table?",
    ),
    "local --config typo.toml": (2, "typo.toml: ndoes is not an option of a run; did you mean nodes?"),
    "bench run typo.toml": (2, "typo.toml: ndoes is not an option of a run; did you mean nodes?"),
    "bench run repeat.toml": (2, "repeat.toml: repeat is not an option of a run; did you mean repeats?"),
    "local --config repeat.toml": (2, "repeat.toml: repeat is not an option of a run"),
    "bench run lsits.toml": (1, "lsits.toml: there is no such file; did you mean lists.toml?"),
    "bench run nothing-like-it": (1, "nothing-like-it: there is no such file"),
    # Values and words that do not belong there.
    "local 4": (2, "honeybadger local does not expect 4; did you mean -n 4?"),
    "local four": (2, "honeybadger local does not expect four; honeybadger local --help shows what it takes"),
    "bench plot runs/x 4": (
        2,
        "honeybadger bench plot does not expect 4; honeybadger bench plot --help shows what it takes",
    ),
    "local --nodes=four": (2, "--nodes 'four' is not a whole number of at least 1"),
    "local --rate 10k": (2, "--rate '10k' is not a number from 0.1 to 1,000,000; write the number without a unit"),
    "local --batch-size 0": (2, "--batch-size '0' is not a whole number from 1 to 10,000,000"),
    "local --crash": (2, "--crash needs a value"),
    # What is left of --partition 0>1,2@5-10.
    "local --partition": (2, "--partition needs a value; quote it: the shell reads > and |"),
    "local --delay 100 ms": (2, "honeybadger local does not expect ms; write 100ms, or quote it"),
    "local --bandwidth 1 MB/s@5-": (2, "honeybadger local does not expect MB/s@5-; write 1MB/s@5-, or quote it"),
    "local --delay 100ms ms": (
        2,
        "honeybadger local does not expect ms; honeybadger local --help shows what it takes",
    ),
    "local --slow 7:20ms": (2, "--slow: '7:20ms': node 7: the last of 4 nodes is 3"),
    "local -n 300": (2, "--nodes 300: at most 256 nodes (the erasure code of suite bls has 256 shards)"),
    "keygen --nodes 300 --out new": (
        2,
        "--nodes 300: at most 256 nodes (the erasure code of suite bls has 256 shards)",
    ),
    "local --byzantine 1:flip_bit": (
        2,
        "--byzantine: flip_bit is no strategy of honeybadger; did you mean flip_bit:FlipBit?",
    ),
    "local --byzantine 1:flip_bit.py": (
        2,
        "--byzantine: flip_bit.py is no strategy of honeybadger; did you mean flip_bit:FlipBit?",
    ),
    "local --config word.toml": (
        1,
        "word.toml: not a valid TOML file: Invalid value (at line 2, column 17); text needs quotes",
    ),
    "keygen --out demo": (1, "demo/cluster.toml exists already; choose another directory"),
    "status": (2, "--cluster is missing: The cluster's manifest: the cluster.toml of keygen"),
    "bench run": (2, "MANIFEST is missing; honeybadger bench run --help shows what it takes"),
    "submit --cluster demo/cluster.toml hello": (
        2,
        "'hello': no such file; to submit a text itself, echo it into this command, with -",
    ),
    "submit --cluster demo/cluster.toml --timeout 0.1 lines": (
        1,
        "node 0 at 127.0.0.1:7101 left 1 transaction unanswered for 0.1 s; they may still be committed; `honeybadger "
        "status` shows whether the nodes run",
    ),
    # One file or directory instead of another.
    "local --config lists.toml": (2, "lists.toml is an experiment: use honeybadger bench run lists.toml"),
    "local --config series.toml": (2, "series.toml is an experiment: use honeybadger bench run series.toml"),
    "local --config repeats.toml": (2, "repeats.toml is an experiment: use honeybadger bench run repeats.toml"),
    "local --config named.toml": (2, "named.toml is an experiment: use honeybadger bench run named.toml"),
    "local --config demo/cluster.toml": (
        2,
        "demo/cluster.toml is a cluster's manifest; --config takes a file with options of a run, such as nodes = 4",
    ),
    "bench run demo/cluster.toml": (
        2,
        "demo/cluster.toml is a cluster's manifest; here the manifest of an experiment is meant",
    ),
    "local --wan run.toml": (2, "--wan: run.toml: this is not a WAN profile: it has neither regions nor rtt_ms"),
    "bench run runs/x": (2, "runs/x is a directory; name a file"),
    "status --cluster demo": (2, "--cluster: demo is a directory; try demo/cluster.toml"),
    "status --cluster demo/node-0": (2, "--cluster: demo/node-0 is a directory; try demo/cluster.toml"),
    "status --cluster .": (2, "--cluster: . is a directory; name a file"),
    "cluster compose demo": (2, "demo is a directory; try demo/cluster.toml"),
    "ledger verify demo/node-0/data --cluster demo": (2, "--cluster: demo is a directory; try demo/cluster.toml"),
    f"node --cluster demo {KEYS}": (2, "--cluster: demo is a directory; try demo/cluster.toml"),
    "node --cluster demo/cluster.toml --keys demo/node-0 --data new": (
        2,
        "--keys: demo/node-0 is a directory; try demo/node-0/keys.toml",
    ),
    "status --cluster demo/node-0/keys.toml": (
        1,
        "demo/node-0/keys.toml: this is a node's key file, not a cluster's manifest (cluster.toml of keygen)",
    ),
    "status --cluster run.toml": (1, "run.toml: this is not a cluster's manifest (cluster.toml of keygen)"),
    "node --cluster demo/cluster.toml --keys demo/cluster.toml --data new": (
        1,
        "demo/cluster.toml: this is a cluster's manifest, not a node's key file (keys.toml of keygen)",
    ),
    f"node --cluster demo/cluster.toml {KEYS}": (
        1,
        "other/node-0/keys.toml: these keys are of another cluster: the manifest lists another CURVE key for node 0",
    ),
    "ledger verify demo/node-0/data --cluster other/cluster.toml": (
        1,
        "the ledger belongs to chain 0000000000000000…, not to that of the manifest: --cluster names another cluster's",
    ),
    "ledger show demo/node-0": (1, "demo/node-0: no ledger here; try demo/node-0/data"),
    "ledger verify demo": (1, "demo: no ledger here; try demo/node-0/data"),
    "ledger export once": (1, "once: no ledger here; try once/node-0/data"),
    "ledger show kept": (1, "kept: no ledger here; try kept/runs/one/raw/node-2/data"),
    "ledger show kept/runs/one": (1, "kept/runs/one: no ledger here; try kept/runs/one/raw/node-2/data"),
    "ledger show other": (1, "other: no ledger here yet; it will be where `honeybadger node --data` says"),
    "ledger show other/node-0": (
        1,
        "other/node-0: no ledger here yet; it will be where `honeybadger node --data` says",
    ),
    "ledger show .": (1, ".: no ledger here; name a node's data directory"),
    "ledger show demo/cluster.toml": (
        1,
        "demo/cluster.toml is not a ledger; name a node's data directory, or the ledger.sqlite in it",
    ),
    "bench report lists.toml": (
        2,
        "lists.toml is a file, but a directory of results is meant; `honeybadger bench run lists.toml` makes it",
    ),
    "bench report x.toml": (2, "x.toml is a file, but a directory of results is meant; try runs/x"),
    "bench plot once": (2, ONCE),
    "bench report runs": (2, "runs is not the directory of one experiment or run; try runs/x"),
    "bench report .": (2, ". is not the directory of one experiment or run; try kept"),
    "bench plot runs/x/runs": (2, "runs/x/runs is not the directory of one experiment or run; try runs/x"),
    "bench report kept/runs/one/raw": (
        2,
        "kept/runs/one/raw is not the directory of one experiment or run; try kept/runs/one",
    ),
    "bench compare once runs/x": (2, ONCE),
    "bench report demo": (2, f"demo is a cluster's directory; {RESULTS}"),
    "bench report x": (2, "x does not exist; did you mean runs/x?"),
    "bench run experiments": (2, "experiments is a directory; try experiments/first.toml"),
    "bench plot runs/y": (2, "runs/y does not exist; `honeybadger bench run` makes such directories below runs/"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_that_says_what_was_meant(run, here, mistake):
    status, line = MISTAKES[mistake]
    before = files(here)
    assert run(*mistake.split()) == (status, "", f"error: {line}\n")
    assert files(here) == before


def test_a_variable_is_named_as_a_variable(run, here, monkeypatch):
    monkeypatch.setenv("HONEYBADGER_CLUSTER", "demo")
    assert run("status")[2] == "error: HONEYBADGER_CLUSTER: demo is a directory; try demo/cluster.toml\n"


def test_ledgers_that_were_not_kept(run, here):
    (only,) = Path("runs/x/runs").iterdir()
    keep = "no ledger here; `honeybadger bench run` keeps the ledgers of its runs only with --keep"
    assert run("ledger", "show", only) == (1, "", f"error: {only}: {keep}\n")


def test_experiments_of_the_project_are_found_from_everywhere(run, here, monkeypatch):
    says = "error: {}: there is no such file; did you mean {}?\n"
    assert run("bench", "run", "quick")[2] == says.format("quick", READY_MADE / "quick.toml")
    monkeypatch.chdir(READY_MADE.parent.parent)
    assert run("bench", "run", "quik.toml")[2] == says.format("quik.toml", "bench/experiments/quick.toml")


def test_a_run_of_an_experiment_can_be_repeated_alone(run, here):
    """The options of one run are a manifest as well."""
    Path("run.toml").write_text('protocol = "pbft"\nnodes = 4\nseed = 7\ndurability = "os"\ncrash = 1\n')
    assert run("bench", "run", "run.toml", "--dry-run")[0] == 0


def test_an_experiment_that_is_done_has_nothing_to_do(run, here):
    Path("x.toml").write_text("nodes = 4\nseed = [1, 2]\n")
    experiment_results(Path("runs/done"), [1000.0, 900.0], nodes=4, seed=[1, 2])
    assert run("bench", "run", "x.toml", "--out", "runs/done") == (
        *(0, "2 runs in runs/done, all valid\n"),
        "x: 2 runs, 2 done already, nothing to do\n",
    )
    assert "2 done already, nothing to do" in run("bench", "run", "x.toml", "--out", "runs/done", "--dry-run")[2]


def test_a_directory_that_is_taken_holds_no_unfinished_run(run, here, monkeypatch):
    """Only what this command has begun is called so."""

    def begin(single_run):
        out = single_run._settings.out
        out.mkdir(exist_ok=True)
        raise ClusterError("it cannot")

    monkeypatch.setattr(bench.run.single_run.SingleRun, "run", begin)
    taken = "error: demo/cluster.toml exists already; choose another directory\n"
    # Before anything else is said: not even that two liars are too many.
    assert run("local", "--out", "demo", "--byzantine", "2:silent") == (1, "", taken)
    assert run("local", "--out", "new") == (1, "", "new holds a run that was not finished\nerror: it cannot\n")


def test_a_cluster_that_does_not_answer(run, here):
    status, out, err = run("status", "--cluster", "demo/cluster.toml", "--timeout", "0.1")
    assert (status, err) == (1, "")
    assert out.splitlines()[-1] == "nobody answers: is the cluster running, and at these addresses?"
