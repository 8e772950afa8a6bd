"""What is wrong with a command line, in one line: the words of click, and what was probably meant."""

import re
from collections.abc import Iterable

import click
from click.core import ParameterSource

from honeybadger.wording import nearest


def in_words(error: click.ClickException) -> str:
    """One line for people."""
    # It knows no context.
    if isinstance(error, click.BadOptionUsage) and error.message.endswith("requires an argument."):
        # Here and not above: few command lines have a mistake.
        from bench.plan.link_faults import KINDS

        shell = "; quote it: the shell reads > and |" if error.option_name.lstrip("-") in KINDS else ""
        return f"{error.option_name} needs a value{shell}"
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        return error.format_message()
    command, path = context.command, context.command_path
    see = f"; {path} --help shows what it takes"

    def like(name: str, names: Iterable[str]) -> str:
        return nearest(name, names) or see

    if isinstance(error, click.NoSuchOption):
        flags = (flag for one in command.params for flag in (*one.opts, *one.secondary_opts))
        return f"{path} has no option {error.option_name}{like(error.option_name, flags)}"
    # The exception is of click 8.4 and later.
    name = getattr(error, "command_name", None)
    if name is not None and isinstance(command, click.Group):
        return f"{path} has no command {name!r:.80}{like(name, command.list_commands(context))}"
    parameter = error.param if isinstance(error, click.BadParameter) else None
    if parameter is not None and isinstance(error, click.MissingParameter):
        meaning = getattr(parameter, "help", None)
        return f"{_name(parameter, context)} is missing" + (f": {meaning.rstrip('.')}" if meaning else see)
    if parameter is not None:
        message = error.message.rstrip(".") + _nearest_choice(parameter, error.message)
        # An argument is there without a name.
        return message if isinstance(parameter, click.Argument) else f"{_name(parameter, context)}: {message}"
    if extra := re.search(r"unexpected extra arguments? \((.*)\)", error.message):
        if apart := _apart(extra[1], context):
            return f"{path} does not expect {extra[1]}; write {apart}, or quote it"
        takes_nodes = any("--nodes" in one.opts for one in command.params)
        meant = f"; did you mean -n {extra[1]}?" if takes_nodes and extra[1].isdecimal() else see
        return f"{path} does not expect {extra[1]}{meant}"
    return error.format_message()


def _apart(unit: str, context: click.Context) -> str:
    """The value of a link fault that lost this unit to a space, with it; "" if there is none."""
    from bench.plan.link_faults import KINDS, UNITS

    values = (value for kind in KINDS for value in context.params.get(kind) or ())
    number = next((value for value in values if value[-1:].isdecimal()), "")
    return number + unit if number and re.split(r"[/@~]", unit)[0] in UNITS else ""


def _name(parameter: click.Parameter, context: click.Context) -> str:
    """As the person wrote it, or should write it."""
    if not isinstance(parameter, click.Option):
        return parameter.make_metavar(context)
    if context.get_parameter_source(parameter.name or "") is ParameterSource.ENVIRONMENT:
        return str(parameter.envvar)
    return max(parameter.opts, key=len)


def _nearest_choice(parameter: click.Parameter, message: str) -> str:
    value = re.match(r"'(.*?)' is not", message)
    return nearest(value[1], parameter.type.choices) if value and isinstance(parameter.type, click.Choice) else ""
