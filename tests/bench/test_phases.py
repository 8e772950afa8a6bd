"""What a run says of itself goes forwards only, also where the first epoch takes long and the window moves."""

from pathlib import Path
from types import SimpleNamespace

import pytest

import bench.load.client
from bench.load.client import Load, Settings
from bench.load.clients import Clients
from bench.run.single_run import phase_at
from honeybadger.cluster.keygen import make_cluster
from honeybadger.protocols.honey_badger.parameters import HoneyBadgerParameters


@pytest.mark.parametrize("step_s", [0.05, 0.2, 0.7])
def test_a_slow_start_is_warming_up_until_the_window_stays(tmp_path, monkeypatch, step_s):
    """`step_s`: how long the load generator is busy before it looks at the clock again."""
    make_cluster(1, 0, HoneyBadgerParameters(), [("127.0.0.1", 1, 2)])[0].save(tmp_path / "cluster.toml")
    common = {"manifest": str(tmp_path / "cluster.toml"), "output": str(tmp_path), "curve": False, "seed": 1}
    times = {"warmup_s": 1.0, "duration_s": 3.0, "patience_s": 1.0}
    load = Load(Settings(**common, **times, tx_size="20", rate=1.0, window=1, warm_tx=5, skip=[]))
    now, phases, window = 100.0, [], (0.0, 0.0)

    def pass_time(_: float) -> None:
        nonlocal now
        now += step_s
        load._outstanding.acknowledged = 5 if now > 107 else 0

    def say(event, **told):
        nonlocal window
        if event == "window":
            window = (told["start"], told["end"])
        else:
            # The controller hears it a moment later.
            phases.append((phase_at(now + 0.1, window, warm=told["warm"]), now))

    monkeypatch.setattr(
        bench.load.client,
        "time",
        SimpleNamespace(monotonic=lambda: now, process_time=lambda: 0.0, sleep=lambda _: None),
    )
    for name, instead in {"_await_start": lambda: None, "_take_orders": lambda: False, "_drain": lambda: None}.items():
        monkeypatch.setattr(load, name, instead)
    for name, instead in {"_receive": pass_time, "_send_due": lambda *_: None, "_say": say}.items():
        monkeypatch.setattr(load, name, instead)
    load._start = now
    load.run()
    load._connections.close()
    names = [name for name, _ in phases]
    order = ["warming up", "running", "draining"]
    assert names == sorted(names, key=order.index) and set(names) >= {"warming up", "running"}
    assert min(at for name, at in phases if name == "running") > 107


def test_only_the_first_client_says_whether_the_window_stays(tmp_path: Path):
    clients = Clients([])
    clients._acknowledged = [0, 0]
    for number, warm in ((1, True), (0, False), (1, True), (0, True), (1, True)):
        clients._events.put((number, {"event": "progress", "acknowledged": 1, "warm": warm}))
    told = [clients.event(0) for _ in range(5)]
    assert [event and event["warm"] for event in told] == [False, False, False, True, True]
