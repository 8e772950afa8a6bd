"""The Compose file: what is in it, what is not, and members that cannot be containers. No Docker is needed."""

import os
from pathlib import Path

import pytest
import yaml

from honeybadger.cluster.compose import ComposeOptions, compose, unreadable
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.keygen import make_cluster, write_cluster
from honeybadger.cluster.manifest import Manifest
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters

NAMES = [f"node-{index}" for index in range(4)]
ADDRESSES = [f"198.18.7.{index + 2}" for index in range(4)]


def cluster(directory: Path, hosts: list[str]) -> Manifest:
    manifest, keys = make_cluster(
        len(hosts), 1, HoneyBadgerParameters(), [(host, 7100 + 2 * i, 7101 + 2 * i) for i, host in enumerate(hosts)]
    )
    write_cluster(directory, manifest, keys)
    return manifest


def made(directory: Path, hosts: list[str], **options) -> dict:
    return yaml.safe_load(compose(cluster(directory, hosts), directory, ComposeOptions(**options)))


def test_members_with_addresses_keep_them(tmp_path):
    file = made(tmp_path, ADDRESSES, rate=5.0)
    (config,) = file["networks"]["cluster"]["ipam"]["config"]
    assert config == {"subnet": "198.18.7.0/24"} and file["networks"]["cluster"]["internal"]
    assert [file["services"][name]["networks"]["cluster"]["ipv4_address"] for name in NAMES] == ADDRESSES
    load = file["services"]["load"]
    assert load["networks"]["cluster"]["ipv4_address"] not in ADDRESSES
    assert load["command"][-4:] == ["--rate", "5", "--duration", "60"] and load["depends_on"] == NAMES
    assert "endpoint_mode" not in file["services"]["node-0"]["deploy"]


def test_members_with_names_are_found_by_them_also_in_a_swarm(tmp_path):
    file = made(tmp_path, ["a", "b", "c", "d"], machines=["x", "y"], rate=1.0)
    services = file["services"]
    assert "ipam" not in file["networks"]["cluster"]
    assert [services[n]["hostname"] for n in NAMES] == ["a", "b", "c", "d"]
    assert [services[n]["networks"]["cluster"]["aliases"] for n in NAMES] == [["a"], ["b"], ["c"], ["d"]]
    assert all(services[name]["deploy"]["endpoint_mode"] == "dnsrr" for name in NAMES)
    placed = [services[name]["deploy"]["placement"]["constraints"] for name in NAMES]
    assert placed == [[f"node.hostname == {name}"] for name in "xyxy"]
    # Two processes with the same keys at a time would contradict each other.
    assert all(services[name]["deploy"]["update_config"] == {"order": "stop-first"} for name in NAMES)
    assert not any("ipv4_address" in str(service) for service in services.values())


@pytest.mark.parametrize("hosts", [ADDRESSES, NAMES])
def test_keys_are_secrets_of_their_own_node_only(tmp_path, hosts):
    manifest = cluster(tmp_path, hosts)
    text = compose(manifest, tmp_path, ComposeOptions(rate=1.0, user="12:34"))
    file = yaml.safe_load(text)
    for index, name in enumerate(NAMES):
        service = file["services"][name]
        keys = (tmp_path / name / "keys.toml").read_text()
        for line in keys.splitlines():
            if '"' in line:
                assert line.split('"')[1] not in text
        own = {"source": f"node-{index}-keys", "target": "keys.toml", "uid": "12", "gid": "34", "mode": 0o400}
        assert service["secrets"][0]["source"] == "cluster" and service["secrets"][1:] == [own]
        assert file["secrets"][f"node-{index}-keys"] == {"file": str(tmp_path / name / "keys.toml")}
        assert service["volumes"] == [f"node-{index}:/node"] and f"node-{index}" in file["volumes"]
        assert service["user"] == "12:34" and service["read_only"] and service["cap_drop"] == ["ALL"]
        assert service["environment"] == {"HONEYBADGER_NODE": str(index)}
    assert [secret["source"] for secret in file["services"]["load"]["secrets"]] == ["cluster"]


@pytest.mark.parametrize("hosts", [ADDRESSES, NAMES])
def test_the_watcher_has_the_token_no_keys_and_a_port_of_this_machine(tmp_path, hosts):
    file = made(tmp_path / "with", hosts, rate=1.0, watch_port=8107)
    watch = file["services"]["watch"]
    assert watch["ports"] == ["127.0.0.1:8107:8100"] and watch["read_only"] and watch["cap_drop"] == ["ALL"]
    assert [secret["source"] for secret in watch["secrets"]] == ["cluster", "http-token"]
    assert file["secrets"]["http-token"] == {"file": str(tmp_path / "with" / "http-token")}
    assert (tmp_path / "with" / "http-token").read_text().strip() not in str(file)
    assert watch["networks"].keys() == {"cluster", "web"} and file["networks"]["web"] == {}
    used = [service["networks"]["cluster"].get("ipv4_address") for service in file["services"].values()]
    assert len(set(used)) == (6 if hosts is ADDRESSES else 1)
    without = made(tmp_path / "without", hosts)
    assert "watch" not in without["services"] and "web" not in without["networks"]
    assert "http-token" not in without["secrets"]


def test_limits_and_arguments(tmp_path):
    file = made(tmp_path, NAMES, cpus="0.5", memory="2G", extra=[(), (), (), ("--byzantine", "silent")], events=True)
    assert file["services"].keys() == set(NAMES)
    assert all(file["services"][n]["deploy"]["resources"] == {"limits": {"cpus": "0.5", "memory": "2G"}} for n in NAMES)
    assert file["services"]["node-3"]["command"][-4:] == ["--events", "/node/events.jsonl", "--byzantine", "silent"]
    assert "--byzantine" not in file["services"]["node-2"]["command"]
    other = made(tmp_path / "other", NAMES)
    assert "resources" not in other["services"]["node-0"]["deploy"]


def test_a_dollar_is_no_variable(tmp_path):
    directory = tmp_path / "a $HOME: 'b'"
    file = made(directory, NAMES)
    assert file["secrets"]["cluster"]["file"] == str(directory / "cluster.toml").replace("$", "$$")


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        (["127.0.0.1"] * 4, "not an address for a container"),
        (["198.18.7.2", "198.18.7.2", "198.18.7.3", "198.18.7.4"], "share an address"),
        (["198.18.7.1", *ADDRESSES[:3]], "198.18.7.1 cannot be a member's address"),
        (["10.0.0.2", "192.0.2.7", *ADDRESSES[:2]], "not in one network"),
        (["a", "b", "c", "198.18.7.2"], "198.18.7.2 is an address, but others are names"),
        (["a", "A", "b", "c"], "share a name"),
        (["localhost"] * 4, "is not a name for a container"),
        (["a_b", "b", "c", "d"], "is not a name for a container"),
    ],
)
def test_members_that_cannot_be_containers(tmp_path, hosts, says):
    with pytest.raises(ClusterError, match=says) as caught:
        made(tmp_path, hosts)
    assert "\n" not in str(caught.value)


def test_a_wider_network_when_one_of_256_is_too_small(tmp_path):
    file = made(tmp_path, ["10.1.0.9", "10.1.1.9", "10.1.2.9", "10.1.3.9"], rate=1.0)
    assert file["networks"]["cluster"]["ipam"]["config"] == [{"subnet": "10.1.0.0/20"}]
    with pytest.raises(ClusterError, match="No such file"):
        compose(Manifest.load(tmp_path / "cluster.toml"), tmp_path / "x", ComposeOptions())


def test_a_secret_that_docker_would_not_take(tmp_path):
    manifest = cluster(tmp_path, NAMES)
    (tmp_path / "node-2" / "keys.toml").write_text("#" * 600_000)
    with pytest.raises(ClusterError, match=r"node-2/keys.toml: 600000 bytes are too many"):
        compose(manifest, tmp_path, ComposeOptions())


def test_the_command_writes_the_file_for_the_keys_owner(tmp_path, honeybadger):
    home, file = tmp_path / "c", tmp_path / "c" / "compose.yaml"
    assert honeybadger("keygen", "-n", 4, "--out", home, "--host", "node-{i}")[0] == 0
    # Nobody runs as root, and root is told what to do about it.
    if not os.getuid():
        assert honeybadger("cluster", "compose", home / "cluster.toml", "--out", file)[0] == 1 and not file.exists()
        for secret in (*home.glob("node-*/keys.toml"), home / "http-token"):
            os.chown(secret, 10001, 10001)
    owner = f"{os.getuid() or 10001}:{os.getgid() if os.getuid() else 10001}"
    status, out, err = honeybadger("cluster", "compose", home / "cluster.toml", "--out", file, "--cpus", "1.5")
    assert status == 0 and err == "" and "4 nodes and a load generator" in out
    made = yaml.safe_load(file.read_text())
    assert made["services"]["node-3"]["networks"]["cluster"]["aliases"] == ["node-3"]
    assert made["services"]["node-3"]["deploy"]["resources"]["limits"] == {"cpus": "1.5", "memory": "2G"}
    assert made["services"]["node-0"]["user"] == owner


def test_keys_that_the_containers_cannot_read_are_refused_with_the_command(tmp_path, honeybadger, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cluster(Path("a b"), NAMES)
    write = ("cluster", "compose", "a b/cluster.toml", "--out", "compose.yaml", "--user")
    says = (
        "error: user 4711:4711 of the containers cannot read {}; run this, then this command again: "
        "chown 4711:4711 'a b'/node-*/keys.toml 'a b'/http-token\n"
    )
    assert honeybadger(*write, "4711:4711") == (1, "", says.format("a b/node-0/keys.toml"))
    assert not Path("compose.yaml").exists()
    # A Swarm copies them; and it is enough that the group or everybody may read them.
    assert honeybadger(*write, "4711:4711", "--machine", "x")[0] == 0
    for keys in Path("a b").glob("node-*/keys.toml"):
        keys.chmod(0o640)
    gid = Path("a b/node-0/keys.toml").stat().st_gid
    assert honeybadger(*write, "4711:4711", "--no-watch")[0] == 1
    assert honeybadger(*write, f"4711:{gid}", "--no-watch")[0] == 0
    assert "cannot read a b/http-token" in honeybadger(*write, f"4711:{gid}")[2]
    for secret in (*Path("a b").glob("node-*/keys.toml"), Path("a b/http-token")):
        secret.chmod(0o604)
    assert honeybadger(*write, "4711:4711")[0] == 0


@pytest.mark.parametrize(
    ("user", "mode", "mend"),
    [("self", 0o000, "chmod 600 {}"), ("4711:4711", 0o600, "chown 4711:4711 {}"), ("4711:4711", 0, "{} {}")],
)
def test_whether_the_mode_of_the_keys_or_their_owner_is_mended(tmp_path, user, mode, mend):
    manifest = cluster(tmp_path, NAMES)
    keys = tmp_path / "node-0" / "keys.toml"
    keys.chmod(mode)
    secrets = f"{os.path.relpath(tmp_path)}/node-*/keys.toml {os.path.relpath(tmp_path)}/http-token"
    own = f"{keys.stat().st_uid}:{keys.stat().st_gid}"
    says = unreadable(manifest, tmp_path, ComposeOptions(user=own if user == "self" else user))
    both = f"chown 4711:4711 {secrets}; chmod 600 {secrets}"
    told = f"cannot read {os.path.relpath(keys)}; run this, then this command again: "
    assert says.endswith(told + (mend.format(secrets) if mend != "{} {}" else both))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--image", "a b"], "is not the name of an image"),
        (["--cpus", "0"], "is not a number of processors"),
        (["--memory", "much"], "is not a size"),
        (["--user", "0:0"], "do not run as root"),
        (["--machine", "x; y"], "is not the name of a machine"),
        (["--rate", "nan"], "nan"),
    ],
)
def test_nonsense_is_refused_in_one_line(tmp_path, honeybadger, arguments, says):
    cluster(tmp_path, NAMES)
    status, out, err = honeybadger("cluster", "compose", tmp_path / "cluster.toml", *arguments)
    assert status != 0 and out == "" and says in err
    assert len([line for line in err.splitlines() if line.startswith("error:")]) == 1


def test_containers_of_an_experiment_that_cannot_be(tmp_path, monkeypatch, honeybadger):
    (tmp_path / "m.toml").write_text("duration = 1\n")
    status, _, err = honeybadger("bench", "run", tmp_path / "m.toml", "--cpus", "1")
    assert status != 0 and "--cpus needs --containers" in err
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "out"
    status, _, err = honeybadger("bench", "run", tmp_path / "m.toml", "--containers", "--out", out)
    assert status == 1 and "is installed" in err and not out.exists()
