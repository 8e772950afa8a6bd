"""The load generator: a process of its own that offers transactions to all nodes and measures how long they take.

Closed loop: each node is kept supplied with a window of unanswered transactions, which finds saturation. Open loop:
transactions are sent at a fixed rate, whatever the nodes do; latency counts from the SCHEDULED time, so a late
sender cannot hide waiting.

Run as `python -m bench.load SETTINGS` (JSON); progress goes to standard output as JSON lines; the result to files.
Lines on standard input: {"down": [node, …]} stops offering to those nodes, {"up": [node, …]} begins again; "stop"
ends sending early.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq

from bench.workload import Workload
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client import NodeClient
from honeybadger.network.client_protocol import Committed, Refused, Submit

#: open loop: a transaction sent more than this after its scheduled time is late, seconds
LATE_S = 0.02
#: open loop: how often due transactions are sent, seconds
OPEN_LOOP_TICK_S = 0.005
#: transactions in one request, at the most
LONGEST_BATCH = 1000
#: warm-up goes on until `warm_tx` transactions are committed, but no longer than this, seconds
LONGEST_WARMUP_S = 60.0


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What to offer.

    `rate`: transactions per second over all nodes, or None for the closed loop with `window` per node. `skip`: nodes
    that are offered nothing. `patience_s`: how long to wait, after the end, for outstanding transactions without any
    news.
    """

    manifest: str
    output: str
    curve: bool
    seed: int
    tx_bytes: int
    warmup_s: float
    duration_s: float
    rate: float | None
    window: int
    #: warm-up lasts at least until so many transactions are acknowledged
    warm_tx: int
    skip: list[int]
    patience_s: float


class Result(msgspec.Struct):
    """What was offered and what came back. Times are of the monotonic clock, in seconds.

    `batches`: [number, transactions, node] in order of sending. `unanswered`: transactions that nobody answered, of
    which `abandoned` were with a node when it went down. Latencies are in `latencies.npy` beside it.
    """

    window_start: float
    window_end: float
    batches: list[tuple[int, int, int]]
    offered: int
    offered_in_window: int
    late: int
    refused: dict[str, int]
    acknowledged: int
    unanswered: int
    abandoned: int


@dataclass
class _Node:
    client: NodeClient
    outstanding: int = 0
    resume_at: float = 0.0
    up: bool = True
    #: batch number → scheduled time of each of its transactions, seconds
    scheduled: dict[int, Any] = field(default_factory=dict)
    unanswered: dict[int, int] = field(default_factory=dict)


class Load:
    """One run of the generator."""

    def __init__(self, settings: Settings) -> None:
        manifest = Manifest.load(Path(settings.manifest))
        self._settings = settings
        self._workload = Workload(settings.seed, settings.tx_bytes)
        context = zmq.Context()
        self._nodes = [
            _Node(NodeClient(context, m.host, m.client_port, m.public_key, settings.curve)) for m in manifest.members
        ]
        for index in settings.skip:
            self._nodes[index].up = False
        self._poller = zmq.Poller()
        for node in self._nodes:
            self._poller.register(node.client.socket, zmq.POLLIN)
        self._batches: list[tuple[int, int, int]] = []
        self._durable: deque[Any] = deque()
        self._latency: deque[Any] = deque()
        self._offered = self._offered_in_window = self._late = self._acknowledged = 0
        self._abandoned = 0
        self._refused: dict[str, int] = {}
        self._acknowledged_positions: deque[Any] = deque()
        self._chunk = max(1, min(LONGEST_BATCH, settings.window // 8))
        self._stop = False
        self._partial_order = b""
        self._progress_at = 0.0

    def run(self) -> Result:
        """Offer for warm-up and window, then wait for what is outstanding."""
        settings = self._settings
        start = time.monotonic()
        self._window = (start + settings.warmup_s, start + settings.warmup_s + settings.duration_s)
        self._say("window", start=self._window[0], end=self._window[1])
        next_due = start
        due_count = 0
        while not self._stop and (now := time.monotonic()) < self._window[1]:
            if self._acknowledged < settings.warm_tx and self._window[0] - 0.05 <= now < start + LONGEST_WARMUP_S:
                self._extend_warmup(now)
            if settings.rate is None:
                self._fill_windows(now)
                wait = 0.01
            else:
                # Transaction i is due at start + i / rate.
                due = int((now - start) * settings.rate) + 1
                if due > due_count:
                    self._send_due(start, due_count, due, now)
                    due_count = due
                next_due = max(next_due + OPEN_LOOP_TICK_S, now)
                wait = max(0.0, next_due - time.monotonic())
            self._receive(wait)
            self._take_orders()
            self._report_progress()
        self._drain()
        latencies: Any = (
            np.array([np.concatenate(self._durable), np.concatenate(self._latency)]) if self._durable else []
        )
        np.save(Path(settings.output) / "latencies.npy", latencies)
        empty: Any = np.empty((2, 0), np.int64)
        np.save(Path(settings.output) / "acknowledged.npy", np.concatenate([empty, *self._acknowledged_positions], 1))
        return Result(
            *self._window,
            self._batches,
            self._offered,
            self._offered_in_window,
            self._late,
            self._refused,
            self._acknowledged,
            self._abandoned + sum(sum(node.unanswered.values()) for node in self._nodes),
            self._abandoned,
        )

    def _extend_warmup(self, now: float) -> None:
        """Hardly anything is committed yet: measuring now would measure the start of a large cluster."""
        self._window = (now + 0.1, now + 0.1 + self._settings.duration_s)
        self._offered_in_window = 0
        self._say("window", start=self._window[0], end=self._window[1])

    # -- sending -------------------------------------------------------------------------------------------

    def _fill_windows(self, now: float) -> None:
        window = self._settings.window
        for index, node in enumerate(self._nodes):
            while node.up and now >= node.resume_at and node.outstanding + self._chunk <= window:
                if not self._send(index, np.full(self._chunk, time.monotonic())):
                    break

    def _send_due(self, start: float, first: int, end: int, now: float) -> None:
        """Transactions `first` … `end`-1 are due: transaction i belongs to node i mod N."""
        scheduled = start + np.arange(first, end) / (self._settings.rate or 1.0)
        self._late += int(np.count_nonzero(now - scheduled > LATE_S))
        count = len(self._nodes)
        up = [index for index, node in enumerate(self._nodes) if node.up]
        for position, index in enumerate(up):
            mine = scheduled[position :: len(up)] if len(up) < count else scheduled[(index - first) % count :: count]
            for begin in range(0, len(mine), LONGEST_BATCH):
                self._send(index, mine[begin : begin + LONGEST_BATCH])

    def _send(self, index: int, scheduled: Any) -> bool:
        count = len(scheduled)
        if not count:
            return True
        node = self._nodes[index]
        number = len(self._batches)
        if not node.client.send(Submit(number, self._workload.batch(number, count))):
            node.resume_at = time.monotonic() + 0.05
            return False
        self._batches.append((number, count, index))
        self._offered += count
        start, end = self._window
        self._offered_in_window += int(np.count_nonzero((scheduled >= start) & (scheduled < end)))
        node.scheduled[number] = scheduled
        node.unanswered[number] = count
        node.outstanding += count
        return True

    # -- receiving -----------------------------------------------------------------------------------------

    def _receive(self, wait: float) -> bool:
        """Take every reply that is there, waiting up to `wait` seconds for the first; True if there was one."""
        ready = dict(self._poller.poll(int(wait * 1000)))
        for node in self._nodes:
            if node.client.socket not in ready:
                continue
            while (reply := node.client.receive_now()) is not None:
                if isinstance(reply, Committed | Refused) and reply.request in node.unanswered:
                    self._answered(node, reply)
        return bool(ready)

    def _answered(self, node: _Node, reply: Committed | Refused) -> None:
        count = len(reply.positions)
        node.outstanding -= count
        if isinstance(reply, Committed):
            self._acknowledged += count
            self._acknowledged_positions.append(
                np.stack([np.full(count, reply.request, np.int64), np.array(reply.positions, np.int64)])
            )
            if reply.durable_ns:
                durable = reply.durable_ns / 1e9
                self._durable.append(np.full(count, durable))
                self._latency.append(durable - node.scheduled[reply.request][reply.positions])
        else:
            self._refused[reply.reason] = self._refused.get(reply.reason, 0) + count
            node.resume_at = time.monotonic() + 0.05
        node.unanswered[reply.request] -= count
        if not node.unanswered[reply.request]:
            del node.unanswered[reply.request], node.scheduled[reply.request]

    def _drain(self) -> None:
        """Wait until everything is answered, or nothing has been for a while."""
        patience_s = self._settings.patience_s
        last_news = time.monotonic()
        while any(node.outstanding for node in self._nodes if node.up) and time.monotonic() < last_news + patience_s:
            if self._receive(0.1):
                last_news = time.monotonic()
            self._take_orders()
            self._report_progress()

    # -- the controller ------------------------------------------------------------------------------------

    def _report_progress(self) -> None:
        now = time.monotonic()
        if now < self._progress_at:
            return
        self._progress_at = now + 0.5
        outstanding = sum(node.outstanding for node in self._nodes)
        self._say("progress", offered=self._offered, acknowledged=self._acknowledged, outstanding=outstanding)

    def _take_orders(self) -> None:
        while select.select([0], [], [], 0)[0]:
            # Not through `sys.stdin`, whose buffer `select` does not see.
            data = os.read(0, 65536)
            if not data:
                break
            *lines, self._partial_order = (self._partial_order + data).split(b"\n")
            for line in lines:
                self._obey(line)

    def _obey(self, line: bytes) -> None:
        if line.strip() == b"stop":
            self._stop = True
            return
        order = json.loads(line)
        for index in order.get("down", ()):
            self._abandon(self._nodes[index])
        for index in order.get("up", ()):
            self._nodes[index].up = True

    def _abandon(self, node: _Node) -> None:
        """The node is gone, and with it what only its mempool held: nothing more is expected from it."""
        node.up = False
        self._abandoned += sum(node.unanswered.values())
        node.unanswered.clear()
        node.scheduled.clear()
        node.outstanding = 0

    @staticmethod
    def _say(event: str, **details: float) -> None:
        sys.stdout.write(json.dumps({"t": time.monotonic(), "event": event, **details}) + "\n")
        sys.stdout.flush()


def main() -> None:
    """Run with settings from the command line."""
    # An interrupt from the keyboard is the controller's business.
    os.setpgrp()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    result = Load(settings).run()
    (Path(settings.output) / "load.json").write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
