"""`honeybadger local`: a whole cluster on this machine, measured and checked."""

from __future__ import annotations

import re
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from honeybadger.cli import signals
from honeybadger.cli.fault_options import fault_options, parse
from honeybadger.cli.load_options import SubmitTo, TxSize, check_offer, check_window, load_options
from honeybadger.cli.options import (
    Directory,
    FiniteFloat,
    choose_quorums,
    find_protocol_or_fail,
    make_parameters,
    option,
    parameter_options,
    was_chosen,
)
from honeybadger.cluster.errors import ClusterError
from honeybadger.cluster.manifest import Runtime
from honeybadger.cluster.toml_file import read_toml
from honeybadger.cluster.wan.namespaces import MOST_NODES
from honeybadger.cluster.wan.profile import Profile
from honeybadger.wording import counted

if TYPE_CHECKING:
    from bench.settings import LocalSettings


def read_config(context: click.Context, _: click.Parameter, path: Path | None) -> Path | None:
    """Take defaults from a TOML file: long flag names as keys, with - or _; flags and environment win over it."""
    if path is None:
        return None
    known = known_keys(context.command, "config")
    values: dict[str, Any] = {}
    for key, value in read_toml(path).items():
        parameter = known.get(key.replace("_", "-"))
        if parameter is None or parameter.name is None:
            raise ClusterError(f"{path}: unknown key {key}")
        if parameter.name in values:
            raise ClusterError(f"{path}: {key} is there twice, with - and with _")
        try:
            convert(context, parameter, value)
        except ValueError as error:
            raise ClusterError(f"{path}: {key}{error}") from None
        values[parameter.name] = value
    context.default_map = {**(context.default_map or {}), **values}
    return path


def known_keys(command: click.Command, *without: str) -> dict[str, click.Parameter]:
    """A command's options by long flag name, but for those in `without`."""
    return {flag[2:]: p for p in command.params for flag in p.opts if flag[:2] == "--" and flag[2:] not in without}


def convert(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """What the option makes of a TOML value; ValueError, with the text that follows the key, if it takes it not."""
    if type(value) not in _toml_types(parameter.type):
        raise ValueError(f" = {value!s:.60} is not of type {parameter.type.name}")
    try:
        return parameter.type_cast_value(context, value)
    except click.BadParameter as error:
        raise ValueError(f": {error.message}") from None


def _toml_types(kind: click.ParamType[Any]) -> tuple[type, ...]:
    """What a TOML value may be for an option of this type."""
    if isinstance(kind, click.types.BoolParamType):
        return (bool,)
    if isinstance(kind, click.types.IntParamType):
        return (int,)
    if isinstance(kind, click.types.FloatParamType):
        return (int, float)
    if isinstance(kind, TxSize | SubmitTo):
        return (int, str)
    return (str,)


class _Pieces(click.types.StringParamType):
    """Text, of which an environment variable may hold several pieces."""

    envvar_list_splitter = ","


class _Repeatable(click.Option):
    """A config file gives one text where the command line gives several."""

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        return super().type_cast_value(ctx, (value,) if isinstance(value, str) else value)


def parse_byzantine(texts: Sequence[str], nodes: int) -> dict[int, str]:
    """Node → strategy from `K:STRATEGY` texts: the last nodes lie. UsageError, in one line, for nonsense."""
    strategies: list[str] = []
    for piece in (piece.strip() for text in texts for piece in text.split(",")):
        found = re.fullmatch(r"(\d{1,4}):([a-z-]+)", piece, re.ASCII)
        if not found or not int(found[1]):
            raise click.UsageError(f"--byzantine {piece!r:.80}: write K:STRATEGY, such as 1:silent")
        from honeybadger.adversary import EVERY_STRATEGY

        if found[2] not in EVERY_STRATEGY:
            raise click.UsageError(f"--byzantine {piece!r:.80}: the strategies are {', '.join(EVERY_STRATEGY)}")
        strategies += [found[2]] * int(found[1])
    if len(strategies) >= nodes and strategies:
        raise click.UsageError(
            f"--byzantine: {counted(len(strategies), 'liar')} would leave no correct one of {counted(nodes, 'node')}"
        )
    return dict(enumerate(strategies, nodes - len(strategies)))


def check_outages(options: dict[str, Any], correct: int) -> None:
    """UsageError, in one line, if what is asked for kills and restarts makes no sense with so many correct nodes."""
    crash, restart, rounds = options["crash"], options["restart"], options["restart_rounds"]
    restarts = restart or options["restart_all"] or options["restart_primary"]
    if (crash or restarts) and not options["instrumentation"]:
        raise click.UsageError("--no-instrumentation: what is committed after a crash is told by the reported phases")
    if restart > correct:
        raise click.UsageError(f"--restart {restart}: the cluster has only {counted(correct, 'correct node')}")
    if crash and restarts:
        raise click.UsageError("--crash and --restart cannot be combined")
    if options["restart_primary"] and (restart or options["restart_all"] or correct < options["nodes"]):
        raise click.UsageError("--restart-primary cannot be combined with --restart, --restart-all or --byzantine")
    if crash >= correct:
        raise click.UsageError(f"--crash {crash} would leave none of {counted(correct, 'correct node')}")
    if rounds > 1 and not restarts:
        raise click.UsageError("--restart-rounds needs --restart, --restart-all or --restart-primary")
    if restarts and options["durability"] == "memory":
        raise click.UsageError("--durability memory: a node that is killed would forget its votes and its ledger")
    from bench.fault_plan import why_too_tight

    if restarts and (why := why_too_tight(rounds, options["restart_after"], options["duration"])):
        raise click.UsageError(f"--restart-rounds {rounds} with --restart-after {options['restart_after']:g}: {why}")


def make_settings(options: dict[str, Any], chosen_by_person: Callable[[str], bool]) -> LocalSettings:
    """A checked run from the options of `honeybadger local`; `chosen_by_person(name)`: whether an option was given.

    UsageError or ClusterError, in one line, for the first thing that makes no sense.
    """
    from bench.settings import LocalSettings

    nodes = options["nodes"]
    quorums = choose_quorums(nodes, options["faults"])
    faults = quorums.faults
    byzantine = parse_byzantine(options["byzantine"], nodes)
    correct = nodes - len(byzantine)
    check_outages(options, correct)
    link_faults = parse(options, nodes)
    end_s = options["warmup"] + options["duration"]
    for fault in link_faults:
        if fault.start_s >= end_s:
            raise click.UsageError(
                f"a {fault.kind} fault would begin at {fault.start_s:g} s, "
                f"but warm-up and measured time end at {end_s:g} s"
            )
    if link_faults and not options["instrumentation"]:
        raise click.UsageError("--no-instrumentation: what is committed after a fault is told by the reported phases")
    specification = find_protocol_or_fail(options["protocol"])
    if options["restart_primary"] and not specification.whole_batches:
        raise click.UsageError(f"--restart-primary: protocol {specification.name} has no primary")
    if byzantine:
        from honeybadger.adversary import STRATEGIES

        allowed = specification.strategies or frozenset(STRATEGIES)
    if unfit := sorted(set(byzantine.values()) - allowed) if byzantine else []:
        raise click.UsageError(f"--byzantine: protocol {specification.name} knows no strategy {', '.join(unfit)}")
    if not chosen_by_person("encryption") and not options["encrypt"]:
        options = {**options, "encryption": "never"}
    elif not options["encrypt"] and options["encryption"] != "never":
        raise click.UsageError(f"--no-encrypt contradicts --encryption {options['encryption']}")
    parameters = make_parameters(quorums, options, chosen_by_person)
    sizes = options["tx_size"]
    if sizes.high > parameters.max_tx_bytes:
        raise click.UsageError(
            f"--tx-size {sizes.text} exceeds the longest transaction, --max-tx-bytes {parameters.max_tx_bytes}"
        )
    if options["window"] is not None and options["rate"] is not None:
        raise click.UsageError("--window is for the closed loop, without --rate")
    if options["window"] is not None:
        check_window(options["window"], sizes.high, Runtime())
    if options["rate"] is not None:
        check_offer(options["rate"], end_s)
    if options["arrivals"] != "fixed" and options["rate"] is None:
        raise click.UsageError("--arrivals is for the open loop, with --rate")
    if options["base_port"] is not None and options["base_port"] + 3 * nodes - 1 > 65535:
        raise click.UsageError(f"--base-port {options['base_port']} leaves no room for {3 * nodes} ports up to 65535")
    wan = None if options["wan"] is None else Profile.find(options["wan"])
    if wan and nodes > MOST_NODES:
        raise click.UsageError(f"--wan: {nodes} nodes are too many, at most {MOST_NODES}")
    return LocalSettings(
        nodes=nodes,
        faults=faults,
        parameters=parameters,
        runtime=Runtime(
            durability=options["durability"],
            curve=options["curve"],
            recovery=options["recovery"],
            instrumentation=options["instrumentation"],
        ),
        tx_sizes=sizes,
        duration_s=options["duration"],
        warmup_s=options["warmup"],
        rate=options["rate"],
        crash=options["crash"],
        restart=correct if options["restart_all"] else 1 if options["restart_primary"] else options["restart"],
        restart_rounds=options["restart_rounds"],
        restart_primary=options["restart_primary"],
        restart_after_s=options["restart_after"],
        base_port=options["base_port"],
        seed=secrets.randbits(32) if options["seed"] is None else options["seed"],
        out=options["out"],
        byzantine=byzantine,
        link_faults=tuple(link_faults),
        window=options["window"],
        arrivals=options["arrivals"],
        clients=options["clients"],
        submit_to=SubmitTo.nodes(options["submit_to"], correct, faults),
        wan=wan,
    )


@click.command("local")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=read_config,
    is_eager=True,
    expose_value=False,
    help="TOML file with any of these options as keys; environment and flags win over it.",
)
@option("-n", "--nodes", default=4, help="Number of nodes (N).")
@option("-f", "--faults", type=int, help="Faulty nodes to tolerate (f).  [default: the most N allows]")
@load_options
@option("--crash", default=0, type=click.IntRange(min=0), help="Kill this many nodes (kill -9) half-way.")
@option(
    "--restart",
    default=0,
    type=click.IntRange(min=0),
    help="Kill this many nodes half-way, drawn by --seed, and start them again.",
)
@option("--restart-all", is_flag=True, help="Kill all nodes half-way and start them again.")
@option(
    "--restart-primary", is_flag=True, help="Kill whoever is the primary half-way and start it again (--protocol pbft)."
)
@option("--restart-rounds", default=1, type=click.IntRange(1, 1000), help="Do that so often, to nodes drawn anew.")
@option("--restart-after", default=2.0, type=FiniteFloat(min=0), help="Seconds between kill and restart.")
@option("--durability", type=click.Choice(["fsync", "os", "memory"]), default="fsync", help="When a block counts.")
@option("--curve/--no-curve", default=True, help="Authenticate and encrypt connections.")
@option("--encrypt/--no-encrypt", default=True, help="Encrypt proposals; short for --encryption always or never.")
@option("--recovery/--no-recovery", default=True, help="Vote journal and block certificates, for restarts.")
@option(
    "--instrumentation/--no-instrumentation",
    default=True,
    help="Nodes report phases, messages and queues (costs a little; off: throughput and latency only).",
)
@option(
    "--wan",
    metavar="PROFILE",
    help=f"Links as between regions, emulated (needs root): {', '.join(Profile.names())} or a TOML file.",
)
@option("--base-port", type=click.IntRange(1, 65535), help="First port of 3N in a row.  [default: free ones]")
@option("--seed", type=click.IntRange(0, 2**63 - 1), help="Seed of the offered transactions.  [default: random]")
@option("--out", type=Directory(), help="Keep everything in this new directory.")
@option("--json", "as_json", is_flag=True, help="Summary as JSON on standard output, progress on standard error.")
@option(
    "--byzantine",
    cls=_Repeatable,
    type=_Pieces(),
    multiple=True,
    metavar="K:STRATEGY[,...]",
    help="K nodes lie: 1:silent, 1:bad-shards, 2:equivocate-votes, ….",
)
@fault_options
@parameter_options
@click.pass_context
def command(context: click.Context, /, **options: Any) -> int:
    """Run a whole cluster on this machine under load, measure it, cross-check the ledgers.

    Exit status 0 only if the result is valid: the ledgers of all correct nodes agree, every committed transaction was
    offered and is committed once, and something was committed, also after the last fault.

    Byzantine nodes are the last ones; they get no load and count neither as correct nor as crashed. The seconds of
    link faults count from when all nodes are connected, so warm-up is included; what falls into the measured time is
    measured.
    """
    # Here and not above: the benchmark package is needed for this command only.
    from bench.local_run import LocalRun
    from honeybadger.cli.local_display import Display, print_table

    settings = make_settings(options, was_chosen)
    if not settings.restart and context.get_parameter_source("restart_after") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--restart-after needs --restart, --restart-all or --restart-primary")
    byzantine, faults = settings.byzantine, settings.faults
    if len(byzantine) > faults:
        click.echo(f"note: {counted(len(byzantine), 'liar')}, but the protocol tolerates f = {faults}", err=True)
    signals.end_like_an_interrupt()
    try:
        with Display(sys.stderr) as display:
            summary = LocalRun(settings, display.show).run()
    except ValueError as error:
        raise ClusterError(str(error)) from None
    finally:
        if settings.out is not None and settings.out.is_dir() and not (settings.out / "summary.json").exists():
            click.echo(f"{settings.out} holds a run that was not finished", err=True)
    if options["as_json"]:
        click.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2))
        for warning in summary["warnings"]:
            click.echo(f"attention: {warning}", err=True)
    else:
        print_table(summary)
    if not summary["valid"]:
        click.echo(f"invalid: {summary['reason']}", err=True)
        return 1
    return 0
