"""What the docs say works: every console block is run, every link leads somewhere.

A block runs in a copy of the reader's situation: a folder that looks like the checkout, in which
./peercell is the code under test. `…` in the expected output stands for any text, alone in a line
for any lines. A block after `<!-- not run: reason -->` is left alone; so are the commands below.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WITH_COMMANDS = [page for page in PAGES if "```console" in page.read_text()]
NOT_HERE = {
    "git clone": "needs the network",
    "sudo": "changes the machine",
    "docker": "tests/test_container.py does it",
    "make test": "is what runs this",
    "make slow": "is what runs this",
    "make check": "runs this",
    "make lock": "changes the checkout",
}
COMMAND_S_MAX = 120

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
        for part in re.split(r"^\$ ", block[2], flags=re.M)[1:]:
            command, _, expected = part.partition("\n")
            while command.endswith("\\"):
                more, _, expected = expected.partition("\n")
                command = command[:-1] + more.removeprefix("> ")
            yield Step(where, command, expected)


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
def reader(tmp_path: Path) -> Path:
    """Return a folder that looks like the checkout, with ./peercell running the code under test."""
    folder = tmp_path / "peercell"
    left_out = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "run", "runs")
    shutil.copytree(ROOT, folder, symlinks=True, ignore=left_out)
    command = folder / "peercell"
    command.write_text(PEERCELL)
    command.chmod(0o755)
    return folder


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: page.name)
def test_the_commands_of_a_page_print_what_it_says(page: Path, reader: Path) -> None:
    path = [str(reader), str(Path(sys.executable).parent), os.environ["PATH"]]
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("MAKE")}
    environment = {**inherited, "PATH": os.pathsep.join(path), "COLUMNS": "100"}
    for step in steps(page):
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
