"""The load generator in virtual time: the closed and the open loop of `client`, with the same bookkeeping.

Latency counts from the scheduled time until the transaction is durable at the node that says so first. A client is next
to its nodes: what it sends takes processor time of their host, and no time on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.load.arrivals import make_arrivals
from bench.load.client import LATE_S, LONGEST_WARMUP_S, OPEN_LOOP_TICK_S, Result, Settings
from bench.load.outstanding import Outstanding
from bench.plan.workload import Workload
from honeybadger.network.client_protocol import most_in_request
from honeybadger.node.application import CommittedBlock, Submission
from honeybadger.node.mempool import Request
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Line
from honeybadger.simulation.virtual_time.world import World

#: the load begins so long after the nodes are connected, seconds; how often the closed loop looks at windows of its own
#: accord
HEAD_START_S, CLOSED_LOOP_TICK_S = 0.05, 0.01
#: a node that refuses is left alone for so long, seconds
RESUME_S = 0.05


class VirtualLoad:
    """One client. `settings`: as of a real one; its files are not used. `cost`: of a request, by transaction.
    `payload`: of what is carried in place of what `settings` ask for. `first`: the client that says how long warm-up
    lasts, None if it is this one.

    `begin` starts it; from then on it acts on the world's clock until it is `finished`. `window`: the measured time;
    `warm`: whether it stays where it is.
    """

    def __init__(self, settings: Settings, cost: Line, payload: Payload, first: VirtualLoad | None = None) -> None:
        self._settings = settings = _carried(settings, payload)
        self._cost = cost
        self._payload = payload
        self._first = first or self
        #: what tells its requests from those of other clients
        self.name = settings.client.to_bytes(4, "big")
        self._workload = Workload(settings.seed, settings.tx_size, settings.client)
        self._longest_batch = most_in_request(self._workload.sizes.high)
        self._chunk = max(1, min(self._longest_batch, settings.window // 8))
        self._batches: list[tuple[int, int, int]] = []
        self._late, self._turn = 0, settings.client
        self._news_at = self._longest_silence_s = 0.0
        self._drained_at = self._cpu_s = 0.0
        self._window = (0.0, 0.0)
        self.warm = self.finished = False

    @property
    def window(self) -> tuple[float, float]:
        return self._first._window

    def begin(self, world: World) -> None:
        settings, nodes = self._settings, len(world.nodes)
        self._world, self._clock = world, world.clock
        self._outstanding = Outstanding(nodes)
        self._up = [node not in settings.skip for node in range(nodes)]
        self._resume_at = [0.0] * nodes
        self._start = self._clock.now + HEAD_START_S
        self._open_window(self._start + settings.warmup_s)
        self._schedule = (
            None
            if settings.rate is None
            else make_arrivals(settings.arrivals, settings.rate, settings.client, settings.clients, settings.seed)
        )
        self._news_at = self._start
        self._clock.at(self._start, self._tick)

    @property
    def acknowledged(self) -> int:
        return self._payload.transactions(self._outstanding.acknowledged)

    def down(self, node: int) -> None:
        """The node is gone, and with it what only its mempool held."""
        self._up[node] = False
        self._outstanding.abandon(node)

    def up(self, node: int) -> None:
        """The node is there again."""
        self._up[node] = True

    def interrupt(self) -> None:
        """The run ends now: nothing more is offered, and what is not answered is not waited for."""
        self._drained_at, self.finished = self._clock.now, True

    def save(self, directory: Path) -> None:
        """Leave what a real client leaves."""
        directory.mkdir(parents=True)
        o = self._outstanding
        np.save(directory / "transactions.npy", o.transactions())
        result = Result(self._batches, self._late, o.refused, o.unanswered, o.abandoned, self._drained_at, self._cpu_s)
        if self._payload.bundle > 1:
            result.bundle, result.carried_bytes = self._payload.bundle, self._payload.carried
        (directory / "load.json").write_bytes(msgspec.json.encode(result))

    def answered(self, node: int, number: int, submission: Submission, at: float) -> None:
        """What became of a request at once."""
        for positions in submission.durable.values():
            self._outstanding.committed(node, number, positions, at)
        for reason, positions in submission.refused.items():
            self._outstanding.refuse(node, number, positions, reason)
            self._resume_at[node] = at + RESUME_S
        if submission.durable or submission.refused:
            self._news(at)

    def durable(self, node: int, block: CommittedBlock, at: float) -> None:
        """A block is on the node's disk."""
        heard = False
        for tickets in (block.tickets, *block.repeated.values()):
            for request, positions in tickets:
                if request.client == self.name:
                    heard = True
                    self._outstanding.committed(node, request.number, positions, at)
        if heard:
            self._news(at)
            if self._schedule is None and at < self.window[1] and not self.finished:
                self._fill(node)

    def _news(self, at: float) -> None:
        self._longest_silence_s = max(self._longest_silence_s, at - self._news_at)
        self._news_at = at

    def _open_window(self, start: float) -> None:
        self._window = (start, start + self._settings.duration_s)

    def _tick(self) -> None:
        if self.finished:
            return
        now, settings = self._clock.now, self._settings
        if now >= self.window[1]:
            if self._schedule is not None:
                self._send_due(self.window[1])
            self._drain()
            return
        few = self._outstanding.acknowledged < settings.warm_tx and self._first is self
        self.warm = not few or now >= self._start + LONGEST_WARMUP_S
        if not self.warm and self.window[0] - 0.15 <= now:
            # Measuring now would measure the start of a large cluster.
            self._open_window(now + 0.25)
        if self._schedule is None:
            for node in range(len(self._up)):
                self._fill(node)
            self._clock.after(CLOSED_LOOP_TICK_S, self._tick)
        else:
            self._send_due(now)
            self._clock.after(OPEN_LOOP_TICK_S, self._tick)

    def _drain(self) -> None:
        """Wait until everything is answered, or nothing has been for a while, as a real client does."""
        if self.finished:
            return
        now, waiting = self._clock.now, self._outstanding.by_node
        patience_s = max(self._settings.patience_s, 2 * self._longest_silence_s)
        if not any(n for n, up in zip(waiting, self._up, strict=True) if up) or (
            now >= max(self.window[1], self._news_at) + patience_s
        ):
            self._drained_at, self.finished = now, True
        else:
            self._clock.after(0.1, self._drain)

    def _fill(self, node: int) -> None:
        now, waiting = self._clock.now, self._outstanding.by_node
        while self._up[node] and now >= self._resume_at[node] and waiting[node] + self._chunk <= self._settings.window:
            self._send(self._targets(node), np.full(self._chunk, now))

    def _send_due(self, now: float) -> None:
        if self._schedule is None:
            return
        scheduled = self._start + self._schedule.due(now - self._start)
        self._late += int(np.count_nonzero(self._clock.now - scheduled > LATE_S))
        up = [node for node, is_up in enumerate(self._up) if is_up]
        if not up:
            self._outstanding.not_sent(scheduled, "no node is up")
            return
        for position, node in enumerate(up):
            mine = scheduled[(position - self._turn) % len(up) :: len(up)]
            for begin in range(0, len(mine), self._longest_batch):
                self._send(self._targets(node), mine[begin : begin + self._longest_batch])
        self._turn += len(scheduled)

    def _targets(self, first: int) -> list[int]:
        """`first` and as many nodes after it as get copies; fewer if fewer are up."""
        order = [(first + step) % len(self._up) for step in range(len(self._up))]
        return [node for node in order if self._up[node]][: self._settings.copies]

    def _send(self, targets: list[int], scheduled: Any) -> None:
        number = len(self._batches)
        transactions = self._workload.batch(number, len(scheduled))
        self._batches.append((number, len(scheduled), targets[0]))
        self._outstanding.sent(number, scheduled, targets)
        arrivals = [partial(self._world.nodes[n].submit, Request(self.name, number), transactions) for n in targets]
        if len(self._world.hosts) > 1:
            # The client has a machine of its own.
            _each(arrivals)
        else:
            cost = self._cost.of(self._payload.transactions(len(scheduled)))
            self._cpu_s += cost
            self._world.hosts[0].run(lambda: cost, lambda: _each(arrivals))


def _carried(settings: Settings, payload: Payload) -> Settings:
    """What to offer for these settings to be met."""
    bundle = payload.bundle
    return (
        settings
        if bundle == 1
        else msgspec.structs.replace(
            settings,
            tx_size=str(payload.carried),
            rate=None if settings.rate is None else settings.rate / bundle,
            window=max(1, settings.window // bundle),
            warm_tx=max(1, settings.warm_tx // bundle),
        )
    )


def _each(calls: Sequence[Callable[[], None]]) -> None:
    for call in calls:
        call()
