"""A simulated node: a real one, whose main loop runs on a processor of a virtual host, life after life.

A tick of the real main loop runs at once, and its time passes afterwards: what the work costs on a processor, then the
wait for the disk if votes were written. Only then does what was said leave, and what arrives meanwhile waits for the
next tick.
"""

from copy import copy
from dataclasses import replace
from typing import Any

from honeybadger.adversary import StrategyError
from honeybadger.cluster.errors import ClusterError
from honeybadger.ledger.chain import Chain
from honeybadger.ledger.errors import LedgerError
from honeybadger.node.assembly import NodeConfig, assemble
from honeybadger.node.journal_files import JournalError
from honeybadger.node.mempool import Request
from honeybadger.node.node import NodeError
from honeybadger.node.reactor import Rest
from honeybadger.protocols.contract import ConsensusProtocol
from honeybadger.simulation.virtual_time.charged import charged_keys
from honeybadger.simulation.virtual_time.costs import Meter
from honeybadger.simulation.virtual_time.events import BundleEvents
from honeybadger.simulation.virtual_time.outside import Surroundings, VirtualOutside
from honeybadger.simulation.virtual_time.processors import Processors
from honeybadger.transactions import Transactions


class Life:
    """From one start of a node to its end."""

    def __init__(
        self, me: int, number: int, around: Surroundings, host: Processors, schedule_start: float | None
    ) -> None:
        self._around = around
        self._host = host
        self.meter = Meter(around.costs)
        manifest, keys, home = around.manifest, around.keys[me], around.directory / f"node-{me}"
        if around.costs.mode == "table":
            public, secret = charged_keys(
                manifest.public_keys, keys.secret_keys, self.meter, around.costs.table.crypto, around.payload
            )
            manifest, keys = copy(manifest), replace(keys, secret_keys=secret)
            manifest.public_keys = public
        home.mkdir(parents=True, exist_ok=True)
        self._file = (home / "events.jsonl").open("ab")
        self.events = BundleEvents(self._file, self.now, around.payload)
        self.events.subscribe(lambda event, details: around.trace.write(self.now(), me, event, details))
        self.alive = True
        #: the last line of what Python would print of a failed strategy
        self.traceback = ""
        #: from when a tick waits for a processor until what it said has left
        self._busy = True
        #: woken since the last tick began
        self._woken = False
        self._rest = Rest(0.0)
        self._next_at = self._alarm_at = float("inf")
        config = NodeConfig(
            manifest, keys, home, manifest.runtime, self.events, _nobody, around.liars.get(me, ""), schedule_start
        )
        self._outside = VirtualOutside(around, config, number, host, self.meter, self.wake, self.now)
        self.node = assemble(config, self._outside)
        self._host.run(self._first_tick, self._ticked)

    def now(self) -> float:
        """The node's own time: within a tick it runs ahead of the clock."""
        return self._around.clock.now + self.meter.elapsed

    def wake(self) -> None:
        """There is something to do: in the tick that waits for a processor, else in a new one."""
        self._woken = True
        if self.alive and not self._busy and not self._rest.deaf:
            self._plan()

    def submit(self, request: Request, transactions: Transactions) -> None:
        """A client's transactions have arrived."""
        self._outside.people.arrived(request, transactions)
        self.wake()

    def end(self) -> None:
        """As if its process was killed: what is in memory is gone; what was sent is on its way."""
        self.alive = False
        self._outside.disk.die()
        self.node.parts.transport.close()
        core = self.node.core
        core.journal.close()
        core.store.close()
        self._file.close()

    def finish(self) -> None:
        """As if its process was asked to stop."""
        self.alive = False
        self.node.finish()
        self._file.close()

    def _plan(self) -> None:
        self._busy = True
        self._host.run(self._tick, self._ticked)

    def _first_tick(self) -> float:
        return self._work(first=True)

    def _tick(self) -> float:
        return self._work(first=False)

    def _work(self, *, first: bool) -> float:
        """A tick; returns what it costs."""
        if not self.alive:
            return 0.0
        self._woken = False
        prices, meter = self._around.costs.table.node, self.meter
        meter.begin()
        try:
            if first:
                self.node.begin()
                self.events.emit("usage", **self.node.parts.report.usage())
            meter.work(prices.tick)
            meter.outside(prices.loop)
            self._outside.disk.tell()
            self._rest = self.node.parts.reactor.tick()
        except (JournalError, LedgerError) as error:
            self.node.fail(str(error))
        except StrategyError as error:
            self.node.fail(str(error))
            self.traceback = f"StrategyError: {error}"
        self._next_at = self.now() + self._rest.seconds
        return meter.end()

    def _ticked(self) -> None:
        """The tick's time has passed: its votes go to the disk, then its frames leave."""
        if not self.alive:
            return
        journal: Any = self.node.core.journal
        if journal.take_wait():
            self._around.clock.after(self._around.costs.table.node.sync, self._left)
        else:
            self._left()

    def _left(self) -> None:
        if not self.alive:
            return
        if self.node.failure:
            self.events.emit("stopped", node=self.node.core.keys.node, failure=self.node.failure)
            self.end()
            return
        self._outside.network.leave()
        self._outside.people.leave()
        self._outside.disk.leave()
        self._busy = False
        if self._next_at <= self._around.clock.now or (self._woken and not self._rest.deaf):
            self._plan()
        elif self._next_at < self._alarm_at:
            self._set_alarm()

    def _set_alarm(self) -> None:
        """One alarm is set at a time, and it may be early: most ticks come because the node is woken."""
        self._alarm_at = at = self._next_at
        self._around.clock.at(at, lambda: self._alarm(at))

    def _alarm(self, at: float) -> None:
        if not self.alive or at != self._alarm_at:
            return
        self._alarm_at = float("inf")
        if self._busy:
            return
        if self._next_at <= self._around.clock.now:
            self._plan()
        else:
            self._set_alarm()


class VirtualNode:
    """Node `me`, on `host`. `life`: the present one, or the last."""

    def __init__(self, me: int, around: Surroundings, host: Processors) -> None:
        self.me = me
        self._around = around
        self._host = host
        self.lives = 0

    def start(self, schedule_start: float | None = None) -> None:
        """Start it, for the first time or again on what its last life left on the disk.

        `schedule_start`: when the link faults began, None if that is when it is first connected to all others.
        ClusterError, in one line, if it cannot start.
        """
        try:
            self.life = Life(self.me, self.lives, self._around, self._host, schedule_start)
        except (NodeError, JournalError) as error:
            raise ClusterError(f"node {self.me}: {error}") from None
        self.lives += 1

    @property
    def alive(self) -> bool:
        return self.life.alive

    @property
    def failure(self) -> str:
        """Why it ended unasked, or ""."""
        return self.life.node.failure

    @property
    def chain(self) -> Chain:
        return self.life.node.core.chain

    @property
    def protocol(self) -> ConsensusProtocol:
        return self.life.node.core.protocol

    def kill(self) -> None:
        """It does nothing any more; what it has sent is on its way."""
        if self.alive:
            self.life.end()

    def submit(self, request: Request, transactions: Transactions) -> None:
        """A client's transactions have arrived."""
        if self.alive:
            self.life.submit(request, transactions)

    def close(self) -> None:
        """The run is over."""
        if self.alive:
            self.life.finish()


def _nobody(line: str) -> None:
    """A simulated node talks to no person."""
