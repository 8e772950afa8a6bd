"""All clients of a run in virtual time."""

from collections.abc import Sequence
from pathlib import Path

from bench.load.client import Settings
from bench.load.offers import client_directory
from bench.load.virtual_load import VirtualLoad
from honeybadger.node.application import CommittedBlock, Submission
from honeybadger.node.mempool import Request
from honeybadger.simulation.virtual_time.clients import ReplyTo
from honeybadger.simulation.virtual_time.payload import Payload
from honeybadger.simulation.virtual_time.table import Line
from honeybadger.simulation.virtual_time.world import World


class VirtualLoads(ReplyTo):
    """A `VirtualLoad` for each of `settings`. They start together; the first one says how long warm-up lasts.

    `cost`: of a request, by transaction; `payload`: see `VirtualLoad`.
    """

    def __init__(self, settings: Sequence[Settings], cost: Line, payload: Payload) -> None:
        first = VirtualLoad(settings[0], cost, payload)
        self._loads = [first, *(VirtualLoad(one, cost, payload, first) for one in settings[1:])]
        self._by_name = {load.name: load for load in self._loads}

    def begin(self, world: World) -> None:
        for load in self._loads:
            load.begin(world)

    @property
    def finished(self) -> bool:
        # A loop, because it is asked after every event.
        for load in self._loads:  # noqa: SIM110
            if not load.finished:
                return False
        return True

    @property
    def window(self) -> tuple[float, float]:
        """The measured time."""
        return self._loads[0].window

    @property
    def warm(self) -> bool:
        """Whether the window stays where it is."""
        return self._loads[0].warm

    @property
    def acknowledged(self) -> int:
        return sum(load.acknowledged for load in self._loads)

    def down(self, nodes: Sequence[int]) -> None:
        """Stop offering to these nodes, which are gone."""
        for load in self._loads:
            for node in nodes:
                load.down(node)

    def up(self, nodes: Sequence[int]) -> None:
        """Begin again."""
        for load in self._loads:
            for node in nodes:
                load.up(node)

    def interrupt(self) -> None:
        """The run ends now."""
        for load in self._loads:
            if not load.finished:
                load.interrupt()

    def save(self, directory: Path) -> None:
        """Leave what real clients leave."""
        for number, load in enumerate(self._loads):
            load.save(client_directory(directory, number))

    def answered(self, node: int, request: Request, submission: Submission, at: float) -> None:
        self._by_name[request.client].answered(node, request.number, submission, at)

    def durable(self, node: int, block: CommittedBlock, at: float) -> None:
        for load in self._loads:
            load.durable(node, block, at)
