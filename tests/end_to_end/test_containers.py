"""Nodes in real containers: image, Compose, experiments, a Swarm of one machine. Started by `make containers`.

Nothing is pulled: the base image is made with debootstrap (as root, some minutes), unless HONEYBADGER_TEST_BASE names
an image that is there. Whatever is made is removed: containers, networks, volumes, images. Others may use the engine
meanwhile: tests know what is theirs by the labels of their projects.
"""

import csv
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.nodes.cluster_harness import one_line_error, run_command, wait_until

from bench.places.docker_engine import compose_program, docker, engine, free_network
from honeybadger.cluster.errors import ClusterError
from honeybadger.ledger.sqlite import SQLiteStore
from honeybadger.ledger.verify import compare

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

ROOT = Path(__file__).resolve().parents[2]
until = partial(wait_until, timeout=120.0)
#: labels that say which project of Compose, or which stack, something belongs to
PROJECT = "com.docker.compose.project"
STACK = "com.docker.stack.namespace"


def sh(*command: str | Path, timeout: float = 900) -> str:
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command[:4]}: {done.stdout[-1500:]}{done.stderr[-1500:]}"
    return done.stdout + done.stderr


def make_base(directory: Path, name: str) -> None:
    """A Debian with Python and its venv module, and nothing that an image does not need."""
    if os.getuid() or shutil.which("debootstrap") is None:
        pytest.skip("no base image: run as root with debootstrap, or name an image in HONEYBADGER_TEST_BASE")
    root = directory / "debian"
    # Without a name it takes its usual mirror.
    mirror = [name for name in [os.environ.get("HONEYBADGER_TEST_MIRROR")] if name]
    sh("debootstrap", "--variant=minbase", "--include=python3-venv", "trixie", root, *mirror)
    for left in ("usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"):
        shutil.rmtree(root / left, ignore_errors=True)
    pack = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
    subprocess.run(["docker", "import", "-", name], stdin=pack.stdout, stdout=subprocess.DEVNULL, check=True)
    assert pack.wait() == 0
    shutil.rmtree(root)


def make_wheels(directory: Path, python: str) -> None:
    """The wheel of this checkout, and those of everything it needs, for `python` ("3.11") on this machine's Linux."""
    source = directory / "source"
    source.mkdir()
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("crypto", "honeybadger", "bench"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = directory / "context" / "wheels"
    sh(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, source)
    (own,) = wheels.glob("honeybadger-*.whl")
    machine = platform.machine()
    platforms = [f"manylinux2014_{machine}", *(f"manylinux_2_{minor}_{machine}" for minor in range(17, 42))]
    sh(
        *(sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", python),
        *(argument for name in platforms for argument in ("--platform", name)),
        *("--dest", wheels, own),
    )


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    try:
        engine()
        compose_program()
    except ClusterError as error:
        pytest.skip(f"no Docker engine or no Compose ({error}): apt-get install docker.io docker-compose-v2")
    directory = tmp_path_factory.mktemp("image")
    tag = secrets.token_hex(4)
    given = os.environ.get("HONEYBADGER_TEST_BASE")
    base, name = given or f"honeybadger-test-base:{tag}", f"honeybadger-test:{tag}"
    stage = f"honeybadger-test-stage:{tag}"
    (directory / "context").mkdir()
    try:
        if not given:
            make_base(directory, base)
        ask = "import sys; print('%d.%d' % sys.version_info[:2])"
        make_wheels(directory, docker("run", "--rm", "--network", "none", base, "python3", "-c", ask).strip())
        began = time.monotonic()
        # The first stage gets a name too, by which it can be removed.
        for made in (("--tag", stage, "--target", "install"), ("--tag", name)):
            sh(
                *("docker", "build", "--network", "none", *made, "--file", ROOT / "docker" / "Dockerfile"),
                *("--build-arg", f"BASE={base}", "--build-arg", "PIP_NO_INDEX=1", "--build-arg", "COMMIT=0123abcd"),
                directory / "context",
            )
        print(f"image built in {time.monotonic() - began:.0f} s")
        yield name
    finally:
        for one in (name, stage, *([] if given else [base])):
            subprocess.run(["docker", "image", "rm", "--force", one], capture_output=True, check=False)


def left_behind(label: str) -> dict[str, list[str]]:
    """Containers, networks and volumes that have this label."""
    listed = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    return {command[0]: docker(*command, "--quiet", "--filter", f"label={label}").split() for command in listed}


@contextmanager
def nothing_left_of(image: str, runs: int, log: Path) -> Iterator[None]:
    """Within it, containers of the image are made for so many projects; in the end nothing is left of these.

    Experiments name their projects at random; the engine tells who made what.
    """
    names = {image, docker("image", "inspect", "--format", "{{.Id}}", image).strip()}
    command = ["docker", "events", "--since", f"{time.time():.6f}", "--filter", "type=container"]
    command += ["--filter", "event=create", "--format", "{{json .Actor.Attributes}}"]

    def projects() -> set[str]:
        made = [json.loads(line) for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return {one[PROJECT] for one in made if one["image"] in names and PROJECT in one}

    with log.open("w") as file, subprocess.Popen(command, stdout=file) as events:
        try:
            yield
            until(lambda: len(projects()) == runs)
        finally:
            events.terminate()
    for project in projects():
        assert not any(left_behind(f"{PROJECT}={project}").values())


def deal(home: Path, *hosts: str) -> Path:
    flags = [argument for host in hosts for argument in ("--host", host)]
    assert run_command("keygen", "-n", "4", "--out", str(home), "--batch-size", "200", *flags).returncode == 0
    if not os.getuid():
        for secret in (*home.glob("node-*/keys.toml"), home / "http-token"):
            os.chown(secret, 10001, 10001)
    return home / "cluster.toml"


def write_compose(manifest: Path, image: str, *more: str) -> Path:
    file = manifest.parent / "compose.yaml"
    result = run_command(
        *("cluster", "compose", str(manifest), "--image", image, "--out", str(file), "--memory", "512M"),
        *("--cpus", "1", "--rate", "50", "--duration", "5", *more),
    )
    assert result.returncode == 0 and b"4 nodes and a load generator" in result.stdout, result.stderr
    return file


def height_of(manifest: Path, node: int) -> int | None:
    """What a node says, at an address that this machine reaches; None if it does not answer."""
    status = run_command("status", "--cluster", str(manifest), "--node", str(node), "--timeout", "2", "--json")
    return json.loads(status.stdout)[0]["height"] if status.returncode == 0 else None


def commit(manifest: Path, node: int) -> int:
    """A few transactions into the ledger; returns the height."""
    text = "".join(f"{secrets.token_hex(8)}\n" for _ in range(5)).encode()
    result = run_command("submit", "--cluster", str(manifest), "--node", str(node), "-", stdin=text)
    assert result.returncode == 0, result.stderr
    return max(map(int, result.stdout.split()))


def test_the_image_is_small_healthy_and_not_root(image):
    (found,) = json.loads(docker("image", "inspect", image))
    assert found["Config"]["User"] == "10001:10001"
    assert found["Config"]["Healthcheck"]["Test"] == ["CMD", "honeybadger", "status"]
    assert found["Size"] < 400e6
    assert docker("run", "--rm", "--network", "none", "--entrypoint", "id", image, "-u").strip() == "10001"
    assert "Honey Badger BFT" in docker("run", "--rm", "--network", "none", image)
    # No compiler, and no installer beside the packages.
    for tool in ("gcc", "/opt/honeybadger/bin/pip"):
        with pytest.raises(ClusterError):
            docker("run", "--rm", "--network", "none", "--entrypoint", tool, image, "--version")


def test_four_nodes_with_compose_survive_what_is_done_to_one(image, tmp_path):
    network = free_network(4)
    manifest = deal(tmp_path / "c", *(str(network[2 + index]) for index in range(4)))
    file = write_compose(manifest, image)
    project = f"hbtest{secrets.token_hex(4)}"
    compose = [*compose_program(), "--project-name", project, "--file", file]
    try:
        sh(*compose, "up", "--detach")
        assert all(left_behind(f"{PROJECT}={project}").values())
        ids = [container(project, f"node-{index}") for index in range(4)]
        (found,) = json.loads(docker("inspect", ids[3]))
        assert found["HostConfig"]["Memory"] == 512 << 20 and found["HostConfig"]["NanoCpus"] == 10**9
        assert found["HostConfig"]["ReadonlyRootfs"] and found["HostConfig"]["CapDrop"] == ["ALL"]
        keys = (manifest.parent / "node-3" / "keys.toml").read_text()
        assert keys.split('curve_secret_key = "')[1].split('"')[0] not in json.dumps(found)

        # The load generator is a container too.
        load = container(project, "load")
        assert docker("wait", load).strip() == "0", sh("docker", "logs", load)
        said = sh("docker", "logs", load)
        assert "250 offered in 5 s, 250 committed, 0 refused, 0 unanswered" in said and "the same ledger" in said
        until(lambda: docker("inspect", "--format", "{{.State.Health.Status}}", ids[0]).strip() == "healthy")
        whole = network_of(ids[3])

        for away, back in (
            (("stop",), ("start",)),
            (("kill",), ("start",)),
            (("network", "disconnect", whole), ("network", "connect", "--ip", str(network[5]), whole)),
        ):
            docker(*away, ids[3])
            until(lambda: height_of(manifest, 3) is None)
            height = commit(manifest, 0)
            docker(*back, ids[3])
            until(lambda least=height: (height_of(manifest, 3) or 0) >= least)
            # It takes part again: what it alone is given is committed.
            commit(manifest, 3)
        assert docker("inspect", "--format", "{{.RestartCount}}", ids[3]).strip() == "0"

        sh(*compose, "stop")
        assert [docker("inspect", "--format", "{{.State.ExitCode}}", one).strip() for one in ids] == ["0"] * 4
        stores = []
        for index, one in enumerate(ids):
            docker("cp", f"{one}:/node/data", str(tmp_path / f"data-{index}"))
            result = run_command("ledger", "verify", str(tmp_path / f"data-{index}"), "--cluster", str(manifest))
            assert result.returncode == 0, result.stderr
            stores.append(SQLiteStore(tmp_path / f"data-{index}" / "ledger.sqlite", read_only=True))
        assert compare(stores) is None and min(store.height() for store in stores) >= height
        for store in stores:
            store.close()
    finally:
        sh(*compose, "down", "--volumes", "--timeout", "1")
    assert not any(left_behind(f"{PROJECT}={project}").values())


def container(project: str, service: str) -> str:
    labels = (f"label={PROJECT}={project}", f"label=com.docker.compose.service={service}")
    (found,) = docker("ps", "--all", "--quiet", *(part for label in labels for part in ("--filter", label))).split()
    return found


def network_of(container: str) -> str:
    (name,) = json.loads(docker("inspect", container))[0]["NetworkSettings"]["Networks"]
    return str(name)


def test_an_experiment_in_containers_is_like_any_other(image, tmp_path):
    manifest, out = tmp_path / "two.toml", tmp_path / "out"
    manifest.write_text(
        "duration = 10\nwarmup = 1\nbatch-size = 200\nrate = 200\nseed = 5\nrestart = [0, 1]\nrestart-after = 1\n"
    )
    run = ("bench", "run", str(manifest), "--containers", "--image", image, "--cpus", "1", "--out", str(out))
    with nothing_left_of(image, 2, tmp_path / "made"):
        result = run_command(*run, timeout=400)
        assert result.returncode == 0, result.stderr
    plain, restarted = sorted(
        (json.loads(path.read_text()) for path in out.glob("runs/*/summary.json")), key=lambda s: len(s["restarted"])
    )
    for summary in (plain, restarted):
        assert summary["valid"] and summary["committed_tx"] > 0 and summary["unanswered_tx"] == summary["abandoned_tx"]
        assert summary["ledger"]["agree"] and [row["exit"] for row in summary["per_node"]] == [0] * 4
        assert summary["place"] == "containers" and summary["commit"] == "0123abcd"
        assert summary["machine"]["engine"].startswith("Docker ") and summary["machine"]["limits"] == "cpus 1"
    assert len(restarted["restarts"]) == 1 and restarted["restarts"][0]["recovery_s"] > 0
    for directory in out.glob("runs/*"):
        assert {"seconds.csv", "epochs.csv", "latency.csv", "events.jsonl.gz", "machine.json", "run.toml"} <= {
            path.name for path in directory.iterdir()
        }
        assert sum(int(row["committed_tx"]) for row in csv.DictReader((directory / "seconds.csv").open())) > 0

    assert "2 runs, all valid" in run_command("bench", "report", str(out)).stdout.decode()
    assert run_command("bench", "compare", str(out), str(out)).returncode == 0
    assert run_command("bench", "plot", str(out), "--out", str(tmp_path / "figures")).returncode == 0
    assert list((tmp_path / "figures").glob("*.png"))
    # Processes are another place: what is done here is not done there, and the two are not alike.
    elsewhere = run_command("bench", "run", str(manifest), "--out", str(out))
    assert elsewhere.returncode == 1 and b"made with containers, not with processes" in elsewhere.stderr


def test_every_fault_in_containers(image, tmp_path):
    """One experiment with a run for each."""
    faults = [
        "crash = 1",
        "restart-all = true",
        "byzantine = '1:bad-shards'",
        "partition = '3@2-5'\ndelay = '20ms~5ms'",
        "protocol = 'pbft'\nview-timeout = 1.5\nrestart-primary = true",
    ]
    series = "".join(f"[[series]]\n{fault}\n" for fault in faults)
    manifest, out = tmp_path / "faults.toml", tmp_path / "out"
    manifest.write_text(f"duration = 8\nwarmup = 1\nbatch-size = 200\nrate = 200\n{series}")
    with nothing_left_of(image, len(faults), tmp_path / "made"):
        result = run_command(
            "bench", "run", str(manifest), "--containers", "--image", image, "--out", str(out), timeout=600
        )
        assert result.returncode == 0 and b"Traceback" not in result.stderr, result.stderr
    found = [json.loads(path.read_text()) for path in out.glob("runs/*/summary.json")]
    assert len(found) == len(faults) and all(summary["valid"] for summary in found)
    assert {fault["node"] for summary in found for fault in summary["faults_recorded"]} == {3}, "only the liar"


def test_an_image_that_is_not_there_is_one_line(image, tmp_path):
    (tmp_path / "m.toml").write_text("duration = 1\n")
    result = run_command(
        *("bench", "run", str(tmp_path / "m.toml"), "--containers", "--image", "no-such-image:x"),
        *("--out", str(tmp_path / "out")),
    )
    assert "no image no-such-image:x; docker/README.md says how to build it" in one_line_error(result)
    assert len(result.stderr.splitlines()) == 1


def test_the_same_file_is_a_stack_on_a_swarm_of_one_machine(image, tmp_path):
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}").strip() != "inactive":
        pytest.skip("this engine belongs to a Swarm: docker swarm leave")
    before = swarm_networks()
    file = write_compose(deal(tmp_path / "c", "node-{i}"), image)
    stack = f"hbtest{secrets.token_hex(4)}"
    docker("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1:2377")
    try:
        sh("docker", "stack", "deploy", "--detach=true", "--compose-file", file, stack)
        # The load generator's one task waits for the nodes; a node has a name when it was found healthy.
        until(lambda: "the same ledger" in sh("docker", "service", "logs", f"{stack}_load"))
        said = sh("docker", "service", "logs", f"{stack}_load")
        assert "250 committed, 0 refused, 0 unanswered" in said and "NOT the same" not in said, said

        # A task that is killed is replaced; the new one has the volume of the old, and another address.
        killed = task(stack, 2)
        height = status(stack)[0]["height"]
        docker("kill", killed)
        until(lambda: task(stack, 2) not in ("", killed))
        until(lambda: all(one and one["height"] >= height and one["peers_connected"] == 3 for one in status(stack)))
    finally:
        sh("docker", "stack", "rm", stack)
        until(lambda: not left_behind(f"{STACK}={stack}")["ps"])
        volumes = left_behind(f"{STACK}={stack}")["volume"]
        docker("swarm", "leave", "--force")
        for kind, names in (("network", swarm_networks() - before), ("volume", volumes)):
            for name in names:
                sh("docker", kind, "rm", name)
    assert len(volumes) == 4 and not any(left_behind(f"{STACK}={stack}").values())


def swarm_networks() -> set[str]:
    """What an engine makes for itself when it joins a Swarm; this one belonged to none."""
    return {"ingress", "docker_gwbridge"}.intersection(docker("network", "ls", "--format", "{{.Name}}").split())


def task(stack: str, node: int) -> str:
    """The running container of a node's service, "" if there is none now."""
    return docker("ps", "--quiet", "--filter", f"label=com.docker.swarm.service.name={stack}_node-{node}").strip()


def status(stack: str) -> list:
    """What node 0's container hears from all nodes."""
    command = ("exec", "-e", "HONEYBADGER_NODE=", task(stack, 0), "honeybadger", "status", "--json")
    done = subprocess.run(["docker", *command], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.stdout else [None]
