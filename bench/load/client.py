"""A client: a process of its own that offers transactions to nodes and measures how long they take.

Closed loop: each node is kept supplied with a window of unanswered transactions, which finds saturation. Open loop:
transactions are sent at scheduled times, whatever the nodes do; latency counts from the SCHEDULED time, so a late
sender cannot hide waiting.

Run as `python -m bench.load.client SETTINGS` (JSON); progress goes to standard output as JSON lines, the result to
files. It says "ready" and waits for its start on standard input. Lines there: {"start": monotonic seconds}; {"window":
[start, end]}, the measured time has moved; {"down": [node, …]} stops offering to those nodes, {"up": [node, …]} begins
again.
"""

import json
import os
import select
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.load.arrivals import make_arrivals
from bench.load.outstanding import Outstanding
from bench.plan.workload import Workload
from honeybadger.client.connections import Connections
from honeybadger.cluster.manifest import Manifest
from honeybadger.network.client_protocol import Committed, Refused, Submit, most_in_request, unpacked

#: open loop: a transaction sent more than this after its scheduled time is late, seconds
LATE_S = 0.02
#: open loop: how often due transactions are sent, seconds
OPEN_LOOP_TICK_S = 0.005
#: most bytes of requests that may wait to be sent to one node
QUEUE_BYTES = 256 * 1024 * 1024
#: warm-up goes on until `warm_tx` transactions are committed, but no longer than this, seconds
LONGEST_WARMUP_S = 60.0
#: after this many silent seconds the controller is gone
START_TIMEOUT_S = 120.0


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What to offer.

    `rate`: transactions per second over all nodes and clients, or None for the closed loop with `window` per node and
    client; `arrivals`: see `arrivals.py`. `client` of `clients`: which one this is; the first decides how long warm-up
    lasts. `copies`: to how many nodes each transaction is sent. `skip`: nodes that are offered nothing. `patience_s`:
    how long to wait, after the end, for outstanding transactions without any news. `shares_clock`: nodes say when a
    transaction was durable; if their clocks are not this one, the moment at which they say so counts instead, so that
    latency is measured on one clock and has the answer's way back in it.
    """

    manifest: str
    output: str
    curve: bool
    seed: int
    tx_size: str
    warmup_s: float
    duration_s: float
    rate: float | None
    window: int
    #: warm-up lasts at least until this many transactions are acknowledged
    warm_tx: int
    skip: list[int]
    patience_s: float
    arrivals: str = "fixed"
    client: int = 0
    clients: int = 1
    copies: int = 1
    shares_clock: bool = True


class Result(msgspec.Struct):
    """What was offered and what came back; `transactions.npy` (`Outstanding.transactions`) holds the times.

    `batches`: [number, transactions, first node] in order of sending. `unanswered`: transactions that nobody answered,
    of which `abandoned` were with nodes that went down. `drained_at`: when the wait for answers ended, monotonic
    seconds. `cpu_s`: processor time of the load generator until then. All these are of carried transactions, each of
    which stands for `bundle` and has `carried_bytes` bytes (0: as many as it stands for); see `virtual_load`.
    """

    batches: list[tuple[int, int, int]]
    late: int
    refused: dict[str, int]
    unanswered: int
    abandoned: int
    drained_at: float
    cpu_s: float = 0.0
    bundle: int = 1
    carried_bytes: int = 0


@dataclass
class _Node:
    resume_at: float = 0.0
    up: bool = True


class Load:
    def __init__(self, settings: Settings) -> None:
        manifest = Manifest.load(Path(settings.manifest))
        self._settings = settings
        self._workload = Workload(settings.seed, settings.tx_size, settings.client)
        self._longest_batch = most_in_request(self._workload.sizes.high)
        queue = max(1, min(1000, QUEUE_BYTES // (self._longest_batch * self._workload.sizes.high)))
        members = manifest.members
        self._connections = Connections(members, settings.curve, range(len(members)), queue=queue)
        self._nodes = [_Node(up=index not in settings.skip) for index in range(len(members))]
        self._batches: list[tuple[int, int, int]] = []
        self._outstanding = Outstanding(len(self._nodes))
        self._late = 0
        #: open loop: where the round of nodes stands, so that each gets its share
        self._turn = settings.client
        self._chunk = max(1, min(self._longest_batch, settings.window // 8))
        self._start = 0.0
        self._window = (0.0, 0.0)
        #: whether the window stays where it is
        self._warm = False
        self._partial_order = b""
        self._progress_at = 0.0
        #: when the last answer came, and the longest time between two
        self._news_at = self._longest_silence_s = 0.0

    def run(self) -> Result:
        """Offer for warm-up and window, then wait for what is outstanding."""
        settings, began_s = self._settings, time.process_time()
        self._await_start()
        start = self._start
        self._open_window(start + settings.warmup_s)
        schedule = None
        if settings.rate is not None:
            schedule = make_arrivals(settings.arrivals, settings.rate, settings.client, settings.clients, settings.seed)
        self._news_at = start
        time.sleep(max(0.0, start - time.monotonic()))
        next_due = start
        while (now := time.monotonic()) < self._window[1]:
            few = self._outstanding.acknowledged < settings.warm_tx and settings.client == 0
            self._warm = not few or now >= start + LONGEST_WARMUP_S
            if not self._warm and self._window[0] - 0.15 <= now:
                # Measuring now would measure the start of a large cluster.
                self._open_window(now + 0.25)
            if schedule is None:
                self._fill_windows(now)
                wait = 0.01
            else:
                # Nothing is due after the end, even if this process looks at the clock too late.
                self._send_due(start + schedule.due(min(now, self._window[1]) - start), now)
                next_due = max(next_due + OPEN_LOOP_TICK_S, now)
                wait = max(0.0, next_due - time.monotonic())
            self._receive(wait)
            self._take_orders()
            self._report_progress()
        if schedule is not None:
            self._send_due(start + schedule.due(self._window[1] - start), time.monotonic())
        self._drain()
        np.save(Path(settings.output) / "transactions.npy", self._outstanding.transactions())
        o = self._outstanding
        used_s = time.process_time() - began_s
        return Result(self._batches, self._late, o.refused, o.unanswered, o.abandoned, time.monotonic(), used_s)

    def _await_start(self) -> None:
        self._say("ready")
        limit = time.monotonic() + START_TIMEOUT_S
        while not self._start:
            if time.monotonic() > limit:
                raise RuntimeError("nobody said when to start")
            select.select([0], [], [], 0.5)
            if self._take_orders():
                raise RuntimeError("the controller has gone")

    def _open_window(self, start: float) -> None:
        self._window = (start, start + self._settings.duration_s)
        self._say("window", start=start, end=self._window[1])

    def _fill_windows(self, now: float) -> None:
        window, outstanding = self._settings.window, self._outstanding.by_node
        for index, node in enumerate(self._nodes):
            while node.up and now >= node.resume_at and outstanding[index] + self._chunk <= window:
                scheduled = np.full(self._chunk, time.monotonic())
                if not self._send(self._targets(index), scheduled):
                    break

    def _send_due(self, scheduled: Any, now: float) -> None:
        if not len(scheduled):
            return
        self._late += int(np.count_nonzero(now - scheduled > LATE_S))
        up = [index for index, node in enumerate(self._nodes) if node.up]
        if not up:
            self._outstanding.not_sent(scheduled, "no node is up")
            return
        for position, index in enumerate(up):
            mine = scheduled[(position - self._turn) % len(up) :: len(up)]
            for begin in range(0, len(mine), self._longest_batch):
                part = mine[begin : begin + self._longest_batch]
                if not self._send(self._targets(index), part):
                    self._outstanding.not_sent(part, "not sent")
        self._turn += len(scheduled)

    def _targets(self, first: int) -> list[int]:
        """`first` and as many nodes after it as get copies; fewer if fewer are up."""
        order = [(first + step) % len(self._nodes) for step in range(len(self._nodes))]
        return [index for index in order if self._nodes[index].up][: self._settings.copies]

    def _send(self, targets: list[int], scheduled: Any) -> bool:
        """Submit a batch to these nodes; False if none of them could be reached."""
        number = len(self._batches)
        request = Submit(number, self._workload.batch(number, len(scheduled)).encode())
        reached = [index for index in targets if self._connections.send(index, request)]
        for index in set(targets) - set(reached):
            self._nodes[index].resume_at = time.monotonic() + 0.05
        if not reached:
            return False
        self._batches.append((number, len(scheduled), targets[0]))
        self._outstanding.sent(number, scheduled, reached)
        return True

    def _receive(self, wait: float) -> bool:
        """Take every reply that is there, waiting up to `wait` seconds for the first; True if there was one."""
        heard = False
        for index, reply in self._connections.replies(wait):
            heard = True
            if isinstance(reply, Committed):
                # 0: it was on disk before this node was asked, and nobody has said so yet.
                told = reply.durable_ns and self._settings.shares_clock
                durable_at = reply.durable_ns / 1e9 if told else time.monotonic()
                self._outstanding.committed(index, reply.request, unpacked(reply.positions), durable_at)
            elif isinstance(reply, Refused):
                self._outstanding.refuse(index, reply.request, unpacked(reply.positions), reply.reason)
                self._nodes[index].resume_at = time.monotonic() + 0.05
        if heard:
            now = time.monotonic()
            self._longest_silence_s = max(self._longest_silence_s, now - self._news_at)
            self._news_at = now
        return heard

    def _drain(self) -> None:
        """Wait until everything is answered, or nothing has been for a while: twice as long as it ever took to hear
        something, for a large cluster may need that long for an epoch."""
        begin = time.monotonic()
        while time.monotonic() < max(begin, self._news_at) + self._patience_s():
            if not any(count for node, count in zip(self._nodes, self._outstanding.by_node, strict=True) if node.up):
                return
            self._receive(0.1)
            self._take_orders()
            self._report_progress()

    def _patience_s(self) -> float:
        return max(self._settings.patience_s, 2 * self._longest_silence_s)

    def _report_progress(self) -> None:
        now = time.monotonic()
        if now >= self._progress_at:
            self._progress_at = now + 0.5
            self._say("progress", acknowledged=self._outstanding.acknowledged, warm=self._warm)

    def _take_orders(self) -> bool:
        """Obey what the controller wrote; True if it has gone."""
        while select.select([0], [], [], 0)[0]:
            # Not through `sys.stdin`, whose buffer `select` does not see.
            data = os.read(0, 65536)
            if not data:
                return True
            *lines, self._partial_order = (self._partial_order + data).split(b"\n")
            for line in lines:
                self._obey(line)
        return False

    def _obey(self, line: bytes) -> None:
        order = json.loads(line)
        self._start = order.get("start", self._start)
        if "window" in order:
            self._window = (order["window"][0], order["window"][1])
        for index in order.get("down", ()):
            self._nodes[index].up = False
            self._outstanding.abandon(index)
        for index in order.get("up", ()):
            self._nodes[index].up = True

    @staticmethod
    def _say(event: str, **details: float) -> None:
        sys.stdout.write(json.dumps({"t": time.monotonic(), "event": event, **details}) + "\n")
        sys.stdout.flush()


def main() -> None:
    # An interrupt from the keyboard is the controller's business.
    os.setpgrp()
    settings = msgspec.json.decode(sys.argv[1], type=Settings)
    result = Load(settings).run()
    (Path(settings.output) / "load.json").write_bytes(msgspec.json.encode(result))


if __name__ == "__main__":
    main()
