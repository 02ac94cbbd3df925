"""The frame: contract of every command, errors, exit codes, environment, what it costs to start."""

import json
import os
import pty
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from tests.broker.conftest import Run

from peercell.agents.errors import MissingExtraError, PeercellError
from peercell.broker.cli import cli
from peercell.broker.terminal.command import Command, Deferred, LazyGroup, Session, command

# Commands that print no data, or a stream of it; each says in its help what it leaves
# behind.
NO_DATA = {
    f"peercell {name}"
    for name in (
        "grid compile",
        "results export",
        "results plot",
        "watch",
        "agent run",
        "directory run",
        "host",
        *(f"lab {name}" for name in ("cut", "slow", "delay", "mend", "down")),
        "render compose",
        "render swarm",
        "render k8s",
    )
}
# Commands that need a running cell, or start one: tests/broker/test_live_cell.py runs them.
FAULTS = (
    "loss", "delay", "duplicate", "reorder", "corrupt", "bandwidth", "partition", "kill", "pause",
    "slow", "clock", "disk-full", "lie", "replay", "forge", "line-open", "islanding",
    "meter-noise", "load-step", "pv-trip",
)  # fmt: skip
STARTING = {
    f"peercell {name}" for name in ("demo", "run", "up", "down", "watch", "replay", "fault run")
}
LIVE = STARTING | {
    f"peercell {name}"
    for name in (
        "status",
        "wait",
        "logs",
        "ps",
        "restart",
        "results ls",
        "results show",
        "results export",
        "fault ls",
        "fault rm",
        "fault clear",
        "fault run",
        *(f"fault add {kind}" for kind in FAULTS),
    )
}
# Commands that need a class, a sweep or keys of one's own, another machine, root, or take long:
# their own tests run them.
OWN_INPUT = {
    f"peercell {name}"
    for name in (
        "agent check",
        "sweep",
        "results repro",
        "doctor",
        *(f"keys {verb}" for verb in ("show", "admit", "rotate", "revoke")),
        *(f"lab {verb}" for verb in ("up", "ls")),
    )
}
HEAVY = {
    "numpy", "pandas", "pandapower", "scipy", "cvxpy", "mesa", "starlette", "matplotlib", "rich",
    "simbench",
}  # fmt: skip


def _walk(group: LazyGroup, path: str) -> Iterator[tuple[str, click.Command, str]]:
    """Yield every leaf of the tree with its path and the help line of its stand-in."""
    for name, child in group.commands.items():
        if isinstance(child, LazyGroup):
            yield from _walk(child, f"{path} {name}")
        else:
            loaded = child.load() if isinstance(child, Deferred) else child
            yield f"{path} {name}", loaded, child.get_short_help_str(100)


COMMANDS = list(_walk(cli, "peercell"))
every_command = pytest.mark.parametrize(
    ("path", "leaf", "line"), COMMANDS, ids=[path for path, _, _ in COMMANDS]
)


@every_command
def test_a_command_prints_its_data_in_every_format(
    path: str, leaf: click.Command, line: str
) -> None:
    outputs = [option for option in leaf.params if option.name == "output"]
    if path in NO_DATA:
        assert not [option for option in outputs if isinstance(option.type, click.Choice)]
        return
    (option,) = outputs
    assert option.opts == ["-o", "--output"]
    assert isinstance(option.type, click.Choice)
    forms = ["table", "wide", "json", "jsonl", "csv"]
    assert [form.value for form in option.type.choices] == forms


@every_command
def test_a_command_has_examples_that_parse(path: str, leaf: click.Command, line: str) -> None:
    assert isinstance(leaf, Command)
    assert leaf.examples
    for example in leaf.examples:
        words = shlex.split(example)
        with cli.make_context("peercell", words[1:], obj=Session()) as context:
            called = _resolve(context)
        assert called == path


def _resolve(context: click.Context) -> str:
    """Return the path of the command that the words of a context call, having parsed them all."""
    words = [*context._protected_args, *context.args]
    while isinstance(context.command, click.Group):
        name, child, words = context.command.resolve_command(context, words)
        assert child is not None
        context = child.make_context(name, words, parent=context)
        words = [*context._protected_args, *context.args]
    return context.command_path


@every_command
def test_help_line_of_the_stand_in_is_that_of_the_command(
    path: str, leaf: click.Command, line: str
) -> None:
    assert line == leaf.get_short_help_str(100)


@every_command
def test_help_shows_examples_and_documents_every_option(
    run: Run, path: str, leaf: click.Command, line: str
) -> None:
    result = run(*path.split()[1:], "--help")
    assert result.code == 0
    assert "\nExamples:\n  peercell " in result.out
    assert all(option.help for option in leaf.params if isinstance(option, click.Option))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["ps"], ["grid", "--help"]])
def test_starting_up_imports_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = f"""
        import sys
        from peercell.broker.cli import main
        try:
            main({arguments!r})
        finally:
            sys.stderr.write(" ".join({{name.partition(".")[0] for name in sys.modules}}))
    """
    done = _python(code, tmp_path)
    assert done.returncode == 0
    assert HEAVY.isdisjoint(done.stderr.split())


def _python(code: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **variables}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "what", "fix"),
    [
        (["pss"], "No such command 'pss'. Did you mean 'ps'?", "peercell --help"),
        (["grid", "slove"], "No such command 'slove'.", "peercell grid --help"),
        (
            ["ps", "--outptu", "json"],
            "No such option '--outptu'. Did you mean",
            "peercell ps --help",
        ),
        (["ps", "-o", "xml"], "Invalid value for '-o' / '--output': 'xml'", "peercell ps --help"),
        (["down", "a", "b"], "Got unexpected extra argument (b)", "peercell down --help"),
    ],
)
def test_wrong_usage_ends_with_2_and_three_lines(
    run: Run, arguments: list[str], what: str, fix: str
) -> None:
    result = run(*arguments)
    assert (result.code, result.out) == (2, "")
    first, second, third = result.err.splitlines()
    assert first.startswith(f"peercell: {what}")
    assert second.startswith("  why: usage: peercell ")
    assert third == f"  try: {fix}"


def test_no_command_shows_the_help_and_ends_with_2(run: Run) -> None:
    result = run()
    assert (result.code, result.out) == (2, "")
    assert "Commands:\n  demo " in result.err


def _broken(error: BaseException) -> click.Command:
    """Return a command that fails."""

    @command("broken", "peercell broken")
    def broken() -> None:
        """Fail."""
        raise error

    return broken


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PeercellError("a", "b", "c"), 1),
        (MissingExtraError("a", "plot"), 3),
        (KeyboardInterrupt(), 130),
    ],
)
def test_exit_codes(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    monkeypatch.setitem(cli.commands, "broken", _broken(error))
    result = run("broken")
    assert result.code == code
    assert "Traceback" not in result.err


def test_an_error_leaves_out_the_lines_it_does_not_have(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(cli.commands, "broken", _broken(PeercellError("it broke", fix="mend it")))
    assert run("broken").err == "peercell: it broke\n  try: mend it\n"


@pytest.mark.parametrize("arguments", [["--debug", "broken"], ["broken", "--debug"]])
def test_debug_shows_the_traceback_and_keeps_the_exit_code(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setitem(cli.commands, "broken", _broken(MissingExtraError("a", "plot")))
    result = run(*arguments)
    assert result.code == 3
    assert result.err.startswith("Traceback")
    assert "peercell: a needs the extra [plot]" in result.err


def test_an_unusable_file_is_no_defect(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.commands, "broken", _broken(PermissionError(13, "denied", "x.svg")))
    result = run("broken")
    assert (result.code, result.err) == (1, "peercell: cannot use x.svg\n  why: denied\n")


_DEFECT = """
    from peercell.broker.cli import cli, main
    @cli.command("defect")
    def defect():
        raise ValueError("two is not three")
    main({arguments!r})
"""


def test_a_defect_leaves_its_traceback_in_the_run_folder(tmp_path: Path) -> None:
    done = _python(_DEFECT.format(arguments=["defect"]), tmp_path, PEERCELL_HOME="cells")
    (crash,) = (tmp_path / "cells").glob("crash-*.txt")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "peercell: ValueError: two is not three",
        f"  why: this is a defect of peercell; the traceback is in {crash.relative_to(tmp_path)}",
        "  try: report it with that file, or repeat the command with --debug",
    ]
    assert "Traceback" in crash.read_text()


def test_a_defect_is_shown_with_debug_and_where_no_file_can_be_written(tmp_path: Path) -> None:
    debug = _python(_DEFECT.format(arguments=["--debug", "defect"]), tmp_path)
    (tmp_path / "file").touch()
    nowhere = _python(_DEFECT.format(arguments=["defect"]), tmp_path, PEERCELL_HOME="file/run")
    for done in (debug, nowhere):
        assert done.returncode == 1
        assert done.stderr.startswith("Traceback")
        assert "ValueError: two is not three" in done.stderr


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-m", "peercell", "--help"]
    with subprocess.Popen(
        arguments, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_terminal_without_unicode_still_gets_the_numbers(tmp_path: Path) -> None:
    code = """
        from peercell.broker.cli import main
        main(["grid", "day", "rural1", "--date", "2016-05-28"])
    """
    done = _python(code, tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "losses      72.9 kWh" in done.stdout


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_needs_a_terminal_and_no_objection(
    variables: dict[str, str], coloured: bool, tmp_path: Path
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {"PYTHONPATH": os.pathsep.join(sys.path), **variables}
    ours, theirs = pty.openpty()
    subprocess.run(
        [sys.executable, "-m", "peercell", "pss"],
        cwd=tmp_path, env=environment, stderr=theirs, check=False,
    )  # fmt: skip
    os.close(theirs)
    said = os.read(ours, 4096)
    os.close(ours)
    assert (b"\x1b[" in said) is coloured
    assert b"No such command" in said


@every_command
def test_every_option_is_named_after_its_command_in_the_environment(
    path: str, leaf: click.Command, line: str
) -> None:
    prefix = path.upper().replace(" ", "_").replace("-", "_")
    for option in leaf.params:
        if isinstance(option, click.Option):
            (long,) = (name for name in option.opts if name.startswith("--"))
            name = option.envvar or f"{prefix}_{option.name}".upper()
            assert name == f"{prefix}_{long[2:]}".upper().replace("-", "_")


def test_every_option_can_be_set_in_the_environment(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "cells" / "one" / "cell.lock"
    lock.parent.mkdir(parents=True)
    lock.write_text(
        json.dumps({"pid": os.getpid(), "started": "2026-11-02T14:02:00Z", "config": "one.toml"})
    )
    monkeypatch.setenv("PEERCELL_HOME", "cells")
    monkeypatch.setenv("PEERCELL_PS_OUTPUT", "json")
    assert json.loads(run("ps").out)[0]["cell"] == "one"
    assert json.loads(run("--home", "elsewhere", "ps").out) == []


def test_an_import_that_swallows_an_interrupt_is_no_reason_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As msgspec does while it makes a type."""
    text = """if True:
        import signal
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            pass
        swallowed = None
    """
    (tmp_path / "interrupted_command.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    deferred = Deferred("swallowed")
    deferred.target = "interrupted_command:swallowed"
    with pytest.raises(KeyboardInterrupt):
        deferred.load()
