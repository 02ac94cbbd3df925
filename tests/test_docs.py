"""What the docs say works: every console block is run, every link leads somewhere.

A block runs in a copy of the reader's situation: a folder that looks like the checkout, in which
./peercell is the code under test. `…` in the expected output stands for any text, alone in a line
for any lines. A block after `<!-- not run: reason -->` is left alone; so are the commands below. A
block that starts a cell takes as long as the cell lives, and is run with the slow tests.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from peercell.broker.processes.cell_runs import end

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_COMMANDS = [page for page in PAGES if "```console" in page.read_text()]
# Pages whose commands take long although they start no cell.
LONG = {"run-a-cell.md", "own-network.md", "sweep.md"}
NOT_HERE = {
    "git clone": "needs the network",
    "sudo": "changes the machine",
    "docker": "tests/containers does it",
    "make test": "is what runs this",
    "make slow": "is what runs this",
    "make check": "runs this",
    "make lock": "changes the checkout",
}
COMMAND_S_MAX = 120
STARTS_A_CELL = re.compile(r"(make|\./peercell) demo\b|\./peercell up\b")

PEERCELL = f"""#!/bin/sh
[ "${{1-}}" != setup ] || exit 0
PYTHONPATH='{ROOT}/src' exec '{sys.executable}' -P -m peercell "$@"
"""


@dataclass(frozen=True)
class Step:
    """One command of a page and what the page says it prints."""

    where: str
    command: str
    expected: str
    slow: bool


def steps(page: Path) -> Iterator[Step]:
    """Yield the commands of a page that are to be run, in its order."""
    text = page.read_text()
    for block in re.finditer(
        r"(<!-- not run: .+? -->\s*)?^```console\n(.*?)^```$", text, re.M | re.S
    ):
        if block[1]:
            continue
        line = text.count("\n", 0, block.start(2)) + 1
        where = f"{page.relative_to(ROOT)}:{line}"
        slow = STARTS_A_CELL.search(block[2]) is not None
        for part in re.split(r"^\$ ", block[2], flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = command[:-1] + more.removeprefix("> ")
            yield Step(where, command, expected, slow)


WITH_CELLS = [page for page in WITH_COMMANDS if any(step.slow for step in steps(page))]


def matches(expected: str, printed: str) -> bool:
    """Return whether the output is the expected one, blanks at the ends of lines aside."""
    pattern = ""
    for line in expected.strip().splitlines():
        if line.strip() == "…":
            pattern += r"(?:.*\n)*"
        else:
            parts = [re.escape(part) for part in line.rstrip().split("…")]
            pattern += r"[^\n]*".join(parts) + r"\n"
    plain = "".join(f"{line.rstrip()}\n" for line in printed.strip().splitlines())
    return re.fullmatch(pattern, plain) is not None


@pytest.fixture
def reader() -> Iterator[Path]:
    """Return a folder that looks like the checkout, with ./peercell running the code under test."""
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "run", "runs")
    # The path of a socket has to be short.
    with tempfile.TemporaryDirectory(prefix="peercell-") as short:
        folder = Path(short) / "peercell"
        shutil.copytree(ROOT, folder, symlinks=True, ignore=left_out)
        command = folder / "peercell"
        command.write_text(PEERCELL)
        command.chmod(0o755)
        yield folder
        for cell in (folder / "run").glob("*"):
            end(cell)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=[pytest.mark.slow] if page.name in LONG else [], id=page.name)
        for page in WITH_COMMANDS
    ],
)
def test_the_commands_of_a_page_print_what_it_says(page: Path, reader: Path) -> None:
    call([step for step in steps(page) if not step.slow], reader)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CELLS, ids=lambda page: page.name)
def test_the_cells_of_a_page_live_as_it_says(page: Path, reader: Path) -> None:
    call([step for step in steps(page) if step.slow], reader)
    assert not list((reader / "run").glob("*/cell.lock"))


def call(commands: Sequence[Step], reader: Path) -> None:
    """Run commands in the reader's folder and compare what they print."""
    path = [str(reader), str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    environment = {**inherited, "PATH": os.pathsep.join(path), "COLUMNS": "100"}
    for step in commands:
        if step.command.startswith(tuple(NOT_HERE)):
            continue
        if step.command.startswith("make") and shutil.which("make") is None:
            continue
        done = subprocess.run(
            ["sh", "-c", step.command],
            cwd=reader,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_S_MAX,
            check=False,
        )
        shown = f"{step.where}: $ {step.command}\n"
        assert matches(step.expected, done.stdout), f"{shown}prints\n{done.stdout}"
        fails_as_shown = "  why: " in step.expected
        assert done.returncode == 0 or fails_as_shown, f"{shown}ends with {done.returncode}"


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a\nb", "a \nb\n", True),
        ("a\n…\nd", "a\nb\nc\nd\n", True),
        ("a\n…\nd", "a\nd\n", True),
        ("took … s (… steps)", "took 0.3 s (96 steps)\n", True),
        ("took … s", "took 0.3\ns\n", False),
        ("a\nb", "a\nb\nc\n", False),
        ("a.c", "abc\n", False),
        ("", "", True),
        ("", "Traceback\n", False),
    ],
)
def test_the_output_is_compared_line_by_line(expected: str, printed: str, same: bool) -> None:
    assert matches(expected, printed) is same


def anchors(page: Path) -> set[str]:
    """Return the names by which the headings of a page can be linked."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.relative_to(ROOT)} links to {target}"
        assert file.is_relative_to(ROOT), f"{page.relative_to(ROOT)} links outside: {target}"
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{page.relative_to(ROOT)} links to {target}"


def test_no_page_is_lost() -> None:
    index = ROOT / "docs/README.md"
    linked = {
        (index.parent / target).resolve()
        for target in re.findall(r"\]\(([^)#\s]+)", index.read_text())
    }
    pages = set((ROOT / "docs").rglob("*.md")) - {index}
    lost = [str(page.relative_to(ROOT)) for page in pages - linked if page.name != "README.md"]
    assert not lost, f"add to docs/README.md: {lost}"
