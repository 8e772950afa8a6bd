"""The load generator in virtual time: the closed and the open loop of `client`, with the same bookkeeping.

Latency counts from the scheduled time until the transaction is durable at the node that says so first. A client is next
to its nodes: what it sends takes processor time of their host, and no time on the way.
"""

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
from honeybadger.simulation.virtual_time.node import ReplyTo
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Line
from honeybadger.simulation.virtual_time.world import World

#: the load begins so long after the nodes, seconds; how often the closed loop looks at windows of its own accord
HEAD_START_S, CLOSED_LOOP_TICK_S = 0.05, 0.01
#: a node that refuses is left alone for so long, seconds
RESUME_S = 0.05


class VirtualLoad(ReplyTo):
    """One client. `settings`: as of a real one; its files are not used. `cost`: of a request, by transaction.
    `payload`: of what is carried in place of what `settings` ask for.

    `begin` starts it; from then on it acts on the world's clock until it is `finished`. `window`: the measured time;
    `warm`: whether it stays where it is.
    """

    def __init__(self, settings: Settings, cost: Line, payload: Payload) -> None:
        self._settings = settings = _carried(settings, payload)
        self._cost = cost
        self._payload = payload
        self._workload = Workload(settings.seed, settings.tx_size)
        self._longest_batch = most_in_request(self._workload.sizes.high)
        self._chunk = max(1, min(self._longest_batch, settings.window // 8))
        self._batches: list[tuple[int, int, int]] = []
        self._late = self._turn = 0
        self._news_at = self._longest_silence_s = 0.0
        self._drained_at = 0.0
        self.window = (0.0, 0.0)
        self.warm = self.finished = False

    def begin(self, world: World) -> None:
        settings, nodes = self._settings, len(world.nodes)
        self._world, self._clock = world, world.clock
        self._outstanding = Outstanding(nodes)
        self._up = [node not in settings.skip for node in range(nodes)]
        self._resume_at = [0.0] * nodes
        self._start = self._clock.now + HEAD_START_S
        self._open_window(self._start + settings.warmup_s)
        self._schedule = (
            None if settings.rate is None else make_arrivals(settings.arrivals, settings.rate, 0, 1, settings.seed)
        )
        self._news_at = self._start
        self._clock.at(self._start, self._tick)

    @property
    def acknowledged(self) -> int:
        return self._payload.transactions(self._outstanding.acknowledged)

    def down(self, node: int) -> None:
        """The node is gone for good."""
        self._up[node] = False
        self._outstanding.abandon(node)

    def save(self, directory: Path) -> None:
        """Leave what a real client leaves."""
        directory.mkdir(parents=True)
        o = self._outstanding
        np.save(directory / "transactions.npy", o.transactions())
        result = Result(self._batches, self._late, o.refused, o.unanswered, o.abandoned, self._drained_at)
        if self._payload.bundle > 1:
            result.bundle, result.carried_bytes = self._payload.bundle, self._payload.carried
        (directory / "load.json").write_bytes(msgspec.json.encode(result))

    def answered(self, node: int, request: Request, submission: Submission, at: float) -> None:
        for positions in submission.durable.values():
            self._outstanding.committed(node, request.number, positions, at)
        for reason, positions in submission.refused.items():
            self._outstanding.refuse(node, request.number, positions, reason)
            self._resume_at[node] = at + RESUME_S
        if submission.durable or submission.refused:
            self._news(at)

    def durable(self, node: int, block: CommittedBlock, at: float) -> None:
        for tickets in (block.tickets, *block.repeated.values()):
            for request, positions in tickets:
                self._outstanding.committed(node, request.number, positions, at)
        if block.tickets or block.repeated:
            self._news(at)
            if self._schedule is None and at < self.window[1]:
                self._fill(node)

    def _news(self, at: float) -> None:
        self._longest_silence_s = max(self._longest_silence_s, at - self._news_at)
        self._news_at = at

    def _open_window(self, start: float) -> None:
        self.window = (start, start + self._settings.duration_s)

    def _tick(self) -> None:
        now, settings = self._clock.now, self._settings
        if now >= self.window[1]:
            if self._schedule is not None:
                self._send_due(self.window[1])
            self._drain()
            return
        self.warm = self._outstanding.acknowledged >= settings.warm_tx or now >= self._start + LONGEST_WARMUP_S
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
        arrivals = [partial(self._world.nodes[n].submit, Request(b"", number), transactions) for n in targets]
        if len(self._world.hosts) > 1:
            # The client has a machine of its own.
            _each(arrivals)
        else:
            cost = self._cost.of(self._payload.transactions(len(scheduled)))
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
