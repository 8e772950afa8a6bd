"""The one description of a run.

It does not say where the run takes place: on this machine, in containers, on other hosts or in virtual time. The
options of `honeybadger local`, its environment variables, the keys of `--config` and of experiments, and the `run.toml`
that is kept with each result are all derived from the fields below and from the parameters of the installed protocols.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Mapping
from copy import copy
from functools import cache, cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from bench.plan import link_faults
from bench.plan.fields import Field, SettingsError, about, fields_of
from bench.plan.workload import TxSizes
from honeybadger.cluster.manifest import Durability, Runtime
from honeybadger.cluster.sizes import check as check_sizes
from honeybadger.cluster.sizes import most_proposal_bytes
from honeybadger.cluster.wan.profile import Profile
from honeybadger.network.fault_schedule import LinkFault
from honeybadger.protocols.contract import Specification
from honeybadger.protocols.parameters import Parameters
from honeybadger.protocols.quorums import Quorums
from honeybadger.protocols.registry import find_protocol, protocol_names

PARAMETERS = "Protocol parameters"
#: no clock and no rate needs a larger number
LARGEST = 1e9

MOST, BUSY = "the most N allows", "as many as keep it busy"

_cluster = partial(about, "Cluster")
_load = partial(about, "Load")
_outages = partial(about, "Crashes and restarts")
_faults = partial(about, "Byzantine nodes and link faults")
_links = partial(_faults, metavar="FAULT[;...]", separator=";")
_network = partial(about, "Network and ports")
_output = partial(about, "Output", in_experiments=False)


def _strategies() -> Iterable[str]:
    # Here and not above: few runs have liars, and strategies take long to import.
    from honeybadger.adversary.catalogue import YOURS, everywhere, only_with

    fit = {name: ", ".join(only_with(name)) for name in protocol_names()}
    parts = [", ".join(everywhere()), *(f"with {name} also {names}" for name, names in fit.items() if names)]
    return ["; ".join([*parts, f"a class of your own as {YOURS}"])]


class RunSettings(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What to run. Fields are what a person may choose, as it is written; properties are what follows from them.

    `build_run` makes it of what a person chose, and checks it. Times are in seconds; `rate` is in transactions per
    second, over all nodes.
    """

    nodes: Annotated[int, _cluster("Number of nodes (N).", short="n", ge=1)] = 4
    faults: Annotated[int, _cluster("Faulty nodes to tolerate (f).", short="f", usual=MOST, ge=0)] | None = None
    protocol: Annotated[str, _cluster("Consensus protocol.", names=protocol_names)] = "honeybadger"
    durability: Annotated[
        Durability, _cluster("When a block is durable: synced to disk, handed to the system, or kept in memory.")
    ] = "fsync"
    curve: Annotated[bool, _cluster("Authenticate and encrypt connections.")] = True
    recovery: Annotated[bool, _cluster("Journal votes and certify blocks, so that nodes can be restarted.")] = True
    instrumentation: Annotated[bool, _cluster("Nodes report phases, messages and queues (costs a little).")] = True

    allow_flawed: Annotated[bool, _cluster("Run even an agreement that is known to be flawed, to study it.")] = False

    #: with the defaults that depend on other fields filled in
    parameters: Parameters = Parameters()
    encrypt: Annotated[bool, about(PARAMETERS, "Encrypt if the protocol can; off: --encryption never.")] = True

    tx_size: Annotated[str, _load("Bytes per transaction: 250, 100-500 or exp:250.", metavar="SIZE")] = "250"
    duration_s: Annotated[float, _load("Measured seconds.", ge=0.1, le=LARGEST)] = 10.0
    warmup_s: Annotated[float, _load("Seconds before measuring.", ge=0, le=LARGEST)] = 2.0
    rate: (
        Annotated[float, _load("Transactions offered per second, over all nodes.", usual="saturate", ge=0.1, le=1e6)]
        | None
    ) = None
    arrivals: Annotated[Literal["fixed", "poisson"], _load("With --rate: evenly spaced or a Poisson process.")] = (
        "fixed"
    )
    window: Annotated[int, _load("Without --rate: most unanswered per node.", usual=BUSY, ge=1, le=10**7)] | None = None
    clients: Annotated[int, _load("Processes that offer transactions.", ge=1, le=64)] = 1
    submit_to: Annotated[
        Literal["1", "f+1", "all"],
        _load("How many nodes each transaction is sent to; latency ends when the first has it on disk."),
    ] = "1"
    seed: Annotated[int, _load("Of the offered transactions and the restarts.", usual="random", ge=0, le=2**63 - 1)] = (
        msgspec.field(default_factory=lambda: secrets.randbits(32))
    )

    crash: Annotated[int, _outages("Kill this many nodes (kill -9) half-way.", ge=0)] = 0
    restart: Annotated[int, _outages("Kill this many nodes half-way, drawn by --seed, and restart them.", ge=0)] = 0
    restart_all: Annotated[bool, _outages("Kill all nodes half-way and restart them.")] = False
    restart_primary: Annotated[bool, _outages("Kill the leader, if there is one, half-way and restart it.")] = False
    restart_rounds: Annotated[int, _outages("How many times to kill and restart.", ge=1, le=1000)] = 1
    restart_after_s: Annotated[float, _outages("Seconds between kill and restart.", ge=0, le=LARGEST)] = 2.0

    byzantine: Annotated[
        str,
        _faults(
            "The last K nodes lie, as in 1:silent,2:flood. Strategies.",
            metavar="K:STRATEGY[,...]",
            separator=",",
            names=_strategies,
        ),
    ] = ""
    partition: Annotated[
        str, _links("Groups that cannot talk: '0,1|2,3@5-10' (from second 5 to 10); or one way: '0>1,2@5-10'.")
    ] = ""
    delay: Annotated[
        str, _links("Delay messages: 100ms, 100ms~20ms (jitter), 3:50ms@5-10 (links of node 3), '0>1:50ms', leader:1s.")
    ] = ""
    bandwidth: Annotated[str, _links("Limit each link, bytes per second: 1MB, 3:250kB@5-10.")] = ""
    drop: Annotated[str, _links("Break a connection at each message with this probability: 0.01, 3:0.01@2-4.")] = ""
    reset: Annotated[str, _links("Reset TCP connections periodically: 500ms, '0>1:500ms@5-'.")] = ""
    slow: Annotated[str, _links("Slow nodes: node 3 takes one message from its peers every 20 ms: 3:20ms@5-10.")] = ""

    wan: Annotated[
        str,
        _network(
            'Emulate links between regions (needs root): a .toml file, "" for none, or one of these.',
            names=Profile.names,
        ),
    ] = ""
    base_port: Annotated[int, _network("First port of 2N + 1 in a row.", usual="free ones", ge=1, le=65535)] | None = (
        None
    )

    out: Annotated[Path, _output("Keep everything in this new directory.")] | None = None
    json: Annotated[bool, _output("Summary as JSON on standard output, progress on standard error.")] = False

    @property
    def options(self) -> dict[str, Any]:
        """Key → plain value of everything that an experiment may choose; None for what follows from other values.

        `run_of` makes the same settings of it.
        """
        chosen = {key: getattr(self, field.name) for key, field in experiment_fields().items()}
        own = msgspec.structs.asdict(self.parameters)
        chosen |= {key: own[field.name] for key, field in parameter_fields(self.protocol).items()}
        rest = {name: value for name, value in own.items() if name not in ("protocol", "max_proposal_bytes")}
        if make_parameters(self.specification, self.quorums, self.runtime, rest) == self.parameters:
            chosen["max-proposal-bytes"] = None
        return chosen

    def differs(self, key: str) -> bool:
        field = run_fields()[key]
        return bool(getattr(self, field.name) != field.default)

    @cached_property
    def specification(self) -> Specification:
        return find_protocol(self.protocol)

    @cached_property
    def quorums(self) -> Quorums:
        """N and f; ValueError if N nodes cannot tolerate f."""
        model = self.specification.fault_model
        return model.quorums(self.nodes, model.largest_faults(self.nodes) if self.faults is None else self.faults)

    @property
    def runtime(self) -> Runtime:
        return Runtime(
            durability=self.durability,
            curve=self.curve,
            recovery=self.recovery,
            allow_flawed=self.allow_flawed,
            instrumentation=self.instrumentation,
        )

    @cached_property
    def tx_sizes(self) -> TxSizes:
        """How long transactions are; ValueError for nonsense."""
        return TxSizes.parse(self.tx_size)

    @cached_property
    def liars(self) -> dict[int, str]:
        """Node → strategy of the Byzantine nodes, which are the last ones; ValueError for nonsense."""
        strategies: list[str] = []
        for piece in map(str.strip, self.byzantine.split(",") if self.byzantine else ()):
            # Whether there is such a strategy depends on the protocol, see `contradictions`.
            parts = re.fullmatch(r"([0-9]{1,4}):([\w./-]+(?::\w+)?)", piece)
            if not parts or not int(parts[1]):
                raise ValueError(f"{piece!r:.80}: write K:STRATEGY, such as 1:silent or 1:my_module:ClassName")
            strategies += [parts[2]] * int(parts[1])
        return dict(enumerate(strategies, self.nodes - len(strategies)))

    @property
    def correct(self) -> list[int]:
        """The nodes that are not Byzantine; some of them may be killed."""
        return [index for index in range(self.nodes) if index not in self.liars]

    @cached_property
    def link_faults(self) -> tuple[LinkFault, ...]:
        """What the links do, as the manifest wants it; ValueError for nonsense."""
        by_kind = (link_faults.parse(kind, getattr(self, kind), self.nodes) for kind in link_faults.KINDS)
        return tuple(chain.from_iterable(by_kind))

    @property
    def link_faults_end_s(self) -> float:
        """When the last link fault that has an end ends, in seconds of their schedule; 0 if none has."""
        return max((fault.end_s for fault in self.link_faults if fault.end_s is not None), default=0.0)

    @property
    def restart_count(self) -> int:
        """How many nodes are killed in each round and started again."""
        return len(self.correct) if self.restart_all else 1 if self.restart_primary else self.restart

    @property
    def copies(self) -> int:
        correct = len(self.correct)
        return {"1": 1, "f+1": min(self.quorums.weak, correct)}.get(self.submit_to, correct)

    @property
    def mempool_room(self) -> int:
        """Unanswered transactions that any node takes: fewer than it holds if they are long."""
        return min(self.runtime.mempool_transactions, self.runtime.mempool_bytes // self.tx_sizes.high)

    @cached_property
    def profile(self) -> Profile | None:
        """The emulated WAN; None for loopback. ClusterError if there is no such profile."""
        return Profile.find(self.wan) if self.wan else None


def make_parameters(
    specification: Specification, quorums: Quorums, runtime: Runtime, chosen: Mapping[str, Any]
) -> Parameters:
    """The protocol's parameters, of which some are chosen; ValueError, in one line, if they do not fit each other.

    If the longest proposal is not chosen, it is a full batch of transactions of 1 KiB, or the most that fits.
    """
    parameters = specification.parameters(**chosen)
    if "max_proposal_bytes" in chosen:
        check_sizes(specification, parameters, quorums, runtime)
        return parameters
    per_node = max(1, parameters.batch_size // (1 if specification.one_proposer_per_block else quorums.nodes))
    full = min(max(1 << 20, parameters.max_tx_bytes + 16, per_node * 1024), 256 << 20)
    parameters = msgspec.structs.replace(parameters, max_proposal_bytes=full)
    parameters.check(quorums.nodes)
    if most := most_proposal_bytes(specification, parameters, quorums, runtime):
        parameters = msgspec.structs.replace(parameters, max_proposal_bytes=most)
    check_sizes(specification, parameters, quorums, runtime)
    return parameters


@cache
def run_fields() -> dict[str, Field]:
    """Key → field of `RunSettings`, without the parameters of protocols."""
    return fields_of(RunSettings)


def experiment_fields() -> dict[str, Field]:
    return {key: field for key, field in run_fields().items() if field.extra.get("in_experiments", True)}


@cache
def parameter_fields(protocol: str) -> dict[str, Field]:
    """Key → field of the protocol's parameters."""
    fields = fields_of(find_protocol(protocol).parameters, PARAMETERS)
    fields.pop("protocol", None)
    if taken := fields.keys() & run_fields().keys():
        raise SettingsError(f"protocol {protocol} has a parameter {min(taken)}, but so has every run")
    longest = fields["max-proposal-bytes"]
    longest.default, longest.usual = None, "a full batch of transactions of 1 KiB, if that fits"
    return fields


def usual_parameters(protocol: str) -> dict[str, Any]:
    """Key → default of the protocol's parameters; empty if no such protocol is installed."""
    try:
        return {key: field.default for key, field in parameter_fields(protocol).items()}
    except LookupError:
        return {}


@cache
def every_field() -> dict[str, Field]:
    """Key → field of `RunSettings` and of the parameters of all installed protocols."""
    fields = dict(run_fields())
    for name in protocol_names():
        for key, field in parameter_fields(name).items():
            fields.setdefault(key, copy(field)).owners[name] = field.default
    return fields
