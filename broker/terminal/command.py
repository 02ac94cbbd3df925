"""How every command is made: imported late, with examples in its help, its answer printed one way.

A command of peercell is a function that parses and returns an `Answer`; this file does the rest.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from peercell.broker.terminal.interrupts import Interrupts
from peercell.broker.terminal.output import Answer, Format, Stream, note, render, render_stream, say


@dataclass
class Session:
    """What the flags of this call say; the frame reads it after click is done."""

    debug: bool = False
    quiet: bool = False
    home: Path = Path("run")


class Command(click.Command):
    """A command whose help ends with examples that can be pasted."""

    examples: tuple[str, ...] = ()

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Examples"):
            for example in self.examples:
                formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class Deferred(click.Command):
    """A stand-in that knows a command's name and help line, and imports it when it is called.

    A help page must not cost the import of a solver.
    """

    target: str = ""

    def load(self) -> click.Command:
        """Return the command itself."""
        module, _, name = self.target.partition(":")
        # msgspec swallows what a signal handler raises while it makes a type or a decoder.
        with Interrupts() as interrupts:
            loaded: click.Command = getattr(import_module(module), name)
        interrupts.check()
        return loaded


class LazyGroup(click.Group):
    """A group that lists its commands in the order of the source and imports the one it calls."""

    def defer(self, name: str, target: str, line: str) -> None:
        """Add a command that stays unimported: `target` is `module:function`, `line` its help."""
        deferred = Deferred(name, help=line)
        deferred.target = target
        self.add_command(deferred)

    def list_commands(self, _: click.Context) -> list[str]:
        """Return the names as they were added: a newcomer reads them in that order."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return what click does, with the stand-in replaced by the command."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, command.load() if isinstance(command, Deferred) else command, rest


def _set_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).debug |= value


def _set_quiet(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    ctx.ensure_object(Session).quiet |= value


def _output_option() -> click.Option:
    """Return the option by which every command that prints data takes its format."""
    return click.Option(
        ["-o", "--output"],
        type=click.Choice(Format, case_sensitive=False),
        default=Format.TABLE,
        help="Format of the answer; table when not given.",
    )


def common_options() -> list[click.Parameter]:
    """Return the flags that every command takes, before or after its name."""
    return [
        click.Option(
            ["-q", "--quiet"],
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="No hints and no progress on stderr.",
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            expose_value=False,
            callback=_set_debug,
            help="Show the traceback of an error.",
        ),
    ]


def command(name: str, *examples: str) -> Callable[[Callable[..., None]], Command]:
    """Return a decorator that makes a function a command which prints no data."""

    def decorate(function: Callable[..., None]) -> Command:
        made = click.command(name, cls=Command)(function)
        made.examples = examples
        made.params.extend(common_options())
        return made

    return decorate


def data_command(name: str, *examples: str) -> Callable[[Callable[..., Answer | Stream]], Command]:
    """Return a decorator that makes a function a command, and prints the answer it returns."""

    def decorate(function: Callable[..., Answer | Stream]) -> Command:
        @functools.wraps(function)
        def print_answer(*args: object, output: Format, **options: object) -> None:
            answer = function(*args, **options)
            if isinstance(answer, Stream):
                for line in render_stream(answer, output):
                    say(line)
                return
            say(render(answer, output))
            hint(answer.hint)
            if answer.exit_code:
                click.get_current_context().exit(answer.exit_code)

        made = command(name, *examples)(print_answer)
        made.params.insert(-len(common_options()), _output_option())
        return made

    return decorate


def hint(text: str) -> None:
    """Write progress or a next step to stderr, unless the user asked for quiet."""
    if not click.get_current_context().ensure_object(Session).quiet:
        note(text)
