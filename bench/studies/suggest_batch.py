"""How large a batch must be for overhead to be a small share of what is sent.

What all nodes send in an epoch is a straight line in the payload: `fixed + copies * payload`, in bytes. Votes, proofs,
padding and shares of keys are *fixed*: an empty batch needs them too. Each byte of payload, that is of transactions in
the block, is sent in so many *copies*, with the redundancy of the erasure code. Overhead is `fixed`, as a share of all
that is sent.

The line goes through a small and a large simulated run, and one between them tells how straight it is. Nothing here
knows the protocol. Honey Badger's own account (Miller et al., CCS 2016, section 4): N broadcasts of B/N send
O(N B + λ N³ log N) bits, so the second term is no more than a constant share from B = Ω(λ N² log N) on.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from bench.measure.observations import read_node
from bench.plan.build_run import build_run
from bench.plan.fields import Given, SettingsError
from bench.plan.run_settings import RunSettings
from bench.plan.simulation_settings import SimulationSettings
from bench.run.progress import Progress
from bench.run.simulated_run import SimulatedRun
from honeybadger.cluster.errors import ClusterError

#: transactions that each node proposes in the three runs
PER_NODE = (16, 32, 64)
#: measured virtual seconds, the next if no block ended in them; those of a wide area begin with the second
DURATIONS_S = (0.1, 1.0, 10.0)
#: longer transactions are not varied in length; what a shard is padded with is little beside them, bytes
LONGEST_VARIED = 2048
#: options of a run or of a simulation that the study chooses itself, or that would change what an epoch sends
CHOSEN_HERE = (
    *("batch-size", "rate", "arrivals", "window", "clients", "duration", "warmup", "out"),
    *("crash", "restart", "restart-all", "restart-primary", "restart-rounds", "restart-after", "byzantine"),
    *("partition", "delay", "bandwidth", "drop", "reset", "slow", "costs", "factor", "own-hosts", "trace"),
)


class Sample(msgspec.Struct, frozen=True):
    """One run, in an epoch's mean: bytes of transactions in the block, bytes that all nodes sent, messages that they
    handled, and the share of the nodes whose proposals are in the block."""

    batch_size: int
    payload_bytes: float
    sent_bytes: float
    messages: float
    accepted: float


class Line(msgspec.Struct, frozen=True):
    """Bytes sent in an epoch: `fixed_bytes + copies * payload`. `error`: by which part of it the run between is off."""

    fixed_bytes: float
    copies: float
    error: float

    def overhead(self, payload_bytes: float) -> float:
        """`fixed_bytes` as a share of all bytes sent."""
        return self.fixed_bytes / (self.fixed_bytes + self.copies * payload_bytes)

    def payload_bytes(self, overhead: float) -> float:
        """The least payload with at most this overhead."""
        return self.fixed_bytes * (1 - overhead) / (overhead * self.copies)


class Suggestion(msgspec.Struct, frozen=True):
    """`overhead`: that of `batch_size`, which is the smallest with at most the overhead that was asked for."""

    batch_size: int
    overhead: float
    payload_bytes: float
    line: Line
    samples: list[Sample]


def fit(samples: Sequence[Sample]) -> Line:
    """The line through the first and the last of three samples; ClusterError if what is sent does not grow."""
    small, middle, large = samples
    more = large.payload_bytes - small.payload_bytes
    copies = (large.sent_bytes - small.sent_bytes) / more if more > 0 else 0.0
    if copies <= 0:
        raise ClusterError("what the nodes send does not grow with the batch, so no batch size can be suggested")
    # What is left of next to nothing may be below it.
    fixed = max(0.0, small.sent_bytes - copies * small.payload_bytes)
    error = (fixed + copies * middle.payload_bytes) / middle.sent_bytes - 1
    return Line(fixed, copies, error)


def suggestion(settings: RunSettings, samples: Sequence[Sample], overhead: float) -> Suggestion:
    """The smallest batch size for transactions of `settings`, the same number at each node that proposes."""
    line = fit(samples)
    step = 1 if settings.specification.one_proposer_per_block else settings.nodes
    # Proposals that are left out of the block do not carry payload.
    each = settings.tx_sizes.mean * sum(sample.accepted for sample in samples) / len(samples)
    steps = max(1, math.ceil(line.payload_bytes(overhead) / each / step))
    payload = steps * step * each
    return Suggestion(steps * step, line.overhead(payload), payload, line, list(samples))


def suggest(
    given: Mapping[str, Given],
    how: SimulationSettings,
    overhead: float,
    *,
    begin: Callable[[int], None] = lambda batch_size: None,
    show: Callable[[Progress], None] = lambda progress: None,
) -> tuple[RunSettings, Suggestion]:
    """Simulate three runs of what a person chose, `given` by key; ClusterError, in one line, if one is not valid.

    `overhead`: between 0 and 1; `begin(batch_size)` is called before each run, and `show` as by `SimulatedRun`.
    """
    # Without a seed of one's own, the same question has the same answer.
    given = {"seed": Given(1, "seed"), **given}
    settings = build_run(given)
    if settings.nodes == 1:
        raise SettingsError("--suggest-batch needs two nodes or more: a single one sends nothing")
    # Bytes are counted, not time: nodes that wait for a processor would only make it longer.
    how = msgspec.structs.replace(how, own_hosts=True)
    samples = []
    for per_node in PER_NODE:
        batch_size = per_node * settings.nodes
        begin(batch_size)
        samples.append(_sample(given, how, batch_size, show))
    return settings, suggestion(settings, samples, overhead)


def _sample(
    given: Mapping[str, Given], how: SimulationSettings, batch_size: int, show: Callable[[Progress], None]
) -> Sample:
    for settings in _attempts(given, batch_size):
        with TemporaryDirectory(prefix="honeybadger-") as home:
            out = Path(home, "run")
            summary = SimulatedRun(msgspec.structs.replace(settings, out=out), how, show).run()
            if summary["valid"]:
                blocks = read_node(out / "node-0" / "events.jsonl").block.values()
                rows, epochs, accepted = summary["per_node"], len(blocks), summary["agreement"]["accepted_mean"]
                return Sample(
                    batch_size=batch_size,
                    payload_bytes=sum(block["bytes"] for block in blocks) / epochs,
                    sent_bytes=sum(row["sent_bytes"] for row in rows) / epochs,
                    messages=sum(row["messages_handled"] for row in rows) / epochs,
                    accepted=1.0 if accepted is None else accepted / settings.nodes,
                )
    raise ClusterError(f"a run with batch size {batch_size} is not valid: {summary['reason']}")


def _attempts(given: Mapping[str, Given], batch_size: int) -> Iterator[RunSettings]:
    """The run, as short as can be; then longer."""
    usual = build_run(given)
    sizes = usual.tx_sizes
    # A shard is padded to whole units. Proposals of different lengths make the mean of that a part of `fixed`, where
    # those of one length would all have the same, by chance little or much.
    varied = sizes.low == sizes.high and 32 <= sizes.mean <= LONGEST_VARIED
    own = {"batch-size": batch_size, "tx-size": f"exp:{sizes.mean}" if varied else sizes.text, "warmup": 0}
    for duration_s in DURATIONS_S[bool(usual.wan) :]:
        chosen = {**own, "duration": duration_s}
        yield build_run({**given, **{key: Given(value, key) for key, value in chosen.items()}})
