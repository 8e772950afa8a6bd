"""Several clients in virtual time: each hears of its own transactions."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from bench.load.virtual_loads import VirtualLoads
from bench.plan.build_run import run_of
from bench.run.single_run import load_settings
from honeybadger.node.application import Submission
from honeybadger.node.mempool import Request
from honeybadger.simulation.clock import Clock
from honeybadger.simulation.virtual_time.payload import CARRIED_AS_IT_IS
from honeybadger.simulation.virtual_time.table import Line


def test_each_client_hears_of_its_own_transactions() -> None:
    settings = run_of(clients=2, rate=100.0, duration=1, warmup=0.1, seed=1)
    loads = VirtualLoads([load_settings(settings, client) for client in range(2)], Line(0, 0), CARRIED_AS_IT_IS)
    submitted: list[Request] = []
    nodes = [SimpleNamespace(submit=lambda request, transactions: submitted.append(request)) for _ in range(4)]
    world: Any = SimpleNamespace(clock=Clock(), nodes=nodes, hosts=[None, None])
    loads.begin(world)
    while len(submitted) < 8:
        world.clock.step()
    first, second = loads._loads
    (mine,) = [request for request in submitted if request.client == second.name and request.number == 0]
    block: Any = SimpleNamespace(tickets=[(mine, [0])], repeated={})
    loads.durable(0, block, 1.0)
    loads.answered(1, mine, Submission({1: np.array([0])}, {}), 1.0)
    assert (first.acknowledged, second.acknowledged, loads.acknowledged) == (0, 1, 1)
    loads.down([0, 1, 2, 3])
    assert not any(first._up) and not any(second._up)
    loads.up([1])
    assert first._up == second._up == [False, True, False, False]
    loads.interrupt()
    assert loads.finished and loads.window == first.window == second.window
