"""The parts of runs in containers that are not Docker itself, with a made-up engine."""

import ipaddress
import json

import pytest

import bench.places.container_node
import bench.places.docker_engine
from bench.places.choice import choose, refuse_other_places
from bench.places.containers import refuse_impossible
from bench.places.docker_engine import free_network, look_into
from bench.plan.build_run import run_of
from bench.plan.fields import Given
from bench.plan.place_settings import PlaceSettings
from honeybadger.cluster.errors import ClusterError


def networks(monkeypatch, *subnets):
    described = [{"IPAM": {"Config": [{"Subnet": subnet}]}} for subnet in subnets] + [{"IPAM": {"Config": None}}]
    monkeypatch.setattr(bench.places.docker_engine, "docker", lambda *a: "x" if a[1] == "ls" else json.dumps(described))


def test_a_network_that_nobody_uses(monkeypatch):
    # All but the last eighth is taken, and a piece of that.
    networks(monkeypatch, "198.18.0.0/16", "198.19.0.0/17", "198.19.128.0/18", "198.19.192.0/20", "fd00::/64")
    for addresses, prefix in ((4, 24), (248, 24), (249, 20), (4000, 20)):
        found = free_network(addresses)
        assert found.prefixlen == prefix and found.subnet_of(ipaddress.ip_network("198.19.192.0/18"))
        assert not found.overlaps(ipaddress.ip_network("198.19.192.0/20"))
    networks(monkeypatch, "198.0.0.0/8")
    with pytest.raises(ClusterError, match="no network in"):
        free_network(4)


def test_an_engine_elsewhere_is_refused(monkeypatch, tmp_path):
    boot = tmp_path / "boot_id"
    boot.write_text("this one\n")
    versions = {"python": "3.12"}
    answer = {"boot": "this one\n"}
    inspected = json.dumps([{"Id": "sha256:1", "Config": {"Labels": {"org.opencontainers.image.revision": "abc"}}}])
    monkeypatch.setattr(bench.places.docker_engine, "BOOT_ID", boot)

    def docker(*arguments: str) -> str:
        return inspected if arguments[0] == "image" else answer.get("said", json.dumps([versions, answer["boot"]]))

    monkeypatch.setattr(bench.places.docker_engine, "docker", docker)
    found = look_into("x")
    assert (found.id, found.commit, found.versions) == ("sha256:1", "abc", {"python": "3.12"})
    answer["boot"] = "another\n"
    with pytest.raises(ClusterError, match="another machine"):
        look_into("x")
    answer["said"] = "no module named bench"
    with pytest.raises(ClusterError, match="does not hold this project"):
        look_into("x")

    def fails(*arguments: str) -> str:
        raise ClusterError("docker image inspect: Error: No such image: x:latest")

    monkeypatch.setattr(bench.places.docker_engine, "docker", fails)
    with pytest.raises(ClusterError, match=r"no image x; docker/README\.md says how to build it"):
        look_into("x")


def test_what_is_fetched_replaces_what_was_fetched_before(monkeypatch, tmp_path):
    """An old write-ahead log next to a new ledger would undo what the ledger has."""

    def docker(*arguments: str) -> str:
        assert arguments[:2] == ("cp", "abc:/node/.")
        data = tmp_path / "node-0" / "data"
        data.mkdir(parents=True)
        (data / "ledger.sqlite").write_text("new")
        return ""

    monkeypatch.setattr(bench.places.container_node, "docker", docker)
    monkeypatch.setattr(bench.places.container_node.ContainerNode, "_watch", lambda self: None)
    monkeypatch.setattr(bench.places.container_node.ContainerNode, "_fetch_log", lambda self: None)
    node = bench.places.container_node.ContainerNode(tmp_path, 0, "abc")
    node.data.mkdir(parents=True)
    (node.data / "ledger.sqlite-wal").write_text("old")
    node.fetch()
    assert [path.name for path in node.data.iterdir()] == ["ledger.sqlite"]


@pytest.mark.parametrize(
    "restarts", [{"restart": 1}, {"restart_all": True}, {"protocol": "pbft", "restart_primary": True}]
)
def test_link_faults_with_restarts_are_refused_before_anything_is_started(restarts):
    with pytest.raises(ClusterError, match="cannot be combined with restarts"):
        refuse_impossible(run_of(delay="1ms", **restarts))
    refuse_impossible(run_of(**restarts))


def test_results_of_another_place_are_not_taken_for_done(tmp_path):
    local, inside = {"machine": {}}, {"machine": {}, "place": "containers"}
    failed: dict = {"valid": False}
    results = {name: [one] for name, one in (("l", local), ("c", inside), ("f", failed))}
    for place, own, other in (("containers", "c", "l"), ("processes", "l", "c")):
        refuse_other_places(tmp_path, place, results[own] + results["f"])
        with pytest.raises(ClusterError, match=f"not with {place}"):
            refuse_other_places(tmp_path, place, results[own] + results[other])


@pytest.mark.parametrize(
    ("key", "value", "where"), [("containers", True, "in containers"), ("hosts", "x.toml", "on other hosts")]
)
def test_a_strategy_in_a_file_is_refused_where_nodes_do_not_have_it(key, value, where):
    """Before Docker or a host is asked anything."""
    settings = PlaceSettings.make({key: Given(value, f"--{key}")})
    name = "honeybadger.adversary.traffic:Silent"
    with pytest.raises(ClusterError, match=f"^byzantine {name}: nodes {where} do not have your file"):
        choose(settings, [run_of(byzantine=f"1:{name}")])
