"""The rules of the house that no linter knows; what ruff and mypy check is not repeated here.

Each rule comes with a piece of code that breaks it, so that a rule which sees nothing is noticed.
"""

import ast
import builtins
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
CODE = ("agents", "broker", "grid", "src/peercell")
FILE_LINES, FUNCTION_LINES, INHERITANCE_LEVELS = 400, 50, 1

# Bases that say what kind of thing a class is, and bring no behaviour of ours along.
ROOT_BASES = {
    "Struct",
    "Record",
    "Protocol",
    "NamedTuple",
    "TypedDict",
    "Enum",
    "StrEnum",
    "IntEnum",
}
ROOT_BASES |= {name for name, value in vars(builtins).items() if isinstance(value, type)}


@dataclass(frozen=True)
class Source:
    """One Python file, read and parsed."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The syntax tree."""
        return ast.parse(self.text)


Rule = Callable[[list[Source]], Iterator[str]]


def sources(*folders: str) -> list[Source]:
    """Return every Python file below the folders, links not followed."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text()) for path in paths]


def functions(source: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the functions and methods of a file."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def short_files(files: list[Source]) -> Iterator[str]:
    """Yield files that are too long to be one thing."""
    for file in files:
        count = len(file.text.splitlines())
        if count > FILE_LINES:
            yield f"{file.path}: {count} lines, at most {FILE_LINES}: split it by question answered"


def short_functions(files: list[Source]) -> Iterator[str]:
    """Yield functions that are too long, not counting their docstring."""
    for file in files:
        for function in functions(file):
            first = function.body[0]
            has_docstring = ast.get_docstring(function) is not None
            docstring = (first.end_lineno or 0) - first.lineno + 1 if has_docstring else 0
            count = (function.end_lineno or 0) - function.lineno + 1 - docstring
            if count > FUNCTION_LINES:
                yield (
                    f"{file.path}:{function.lineno} {function.name}: {count} lines,"
                    f" at most {FUNCTION_LINES}: give its steps names"
                )


def shallow_classes(files: list[Source]) -> Iterator[str]:
    """Yield classes that inherit from a class that inherits."""
    classes = {
        node.name: (file.path, node)
        for file in files
        for node in ast.walk(file.tree)
        if isinstance(node, ast.ClassDef)
    }

    def level(name: str) -> int:
        if name not in classes:
            return 0 if name.rpartition(".")[2] in ROOT_BASES else 1
        body = classes[name][1].body
        if len(body) == 1 and ast.get_docstring(classes[name][1]):
            return -1  # only settings: what derives from it derives from nothing of ours
        bases = [ast.unparse(base).split("[")[0] for base in classes[name][1].bases]
        return max((level(base) + (base in classes) for base in bases), default=0)

    for name, (path, node) in classes.items():
        if level(name) > INHERITANCE_LEVELS:
            yield f"{path}:{node.lineno} {name}: inherits twice: hold the other class in a field"


def named_arguments(files: list[Source]) -> Iterator[str]:
    """Yield public functions and methods of the code that take anything."""
    for file in (file for file in files if not file.path.startswith("tests/")):
        classes = [node.body for node in file.tree.body if isinstance(node, ast.ClassDef)]
        for node in chain(file.tree.body, *classes):
            match node:
                case ast.FunctionDef(name=name, args=ast.arguments(kwarg=ast.arg())):
                    if not name.startswith("_"):
                        yield f"{file.path}:{node.lineno} {name}: name what ** takes"


def finished_work(files: list[Source]) -> Iterator[str]:
    """Yield marks of what is not done."""
    mark = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError|NotImplemented)\b")
    for file in files:
        for number, line in enumerate(file.text.splitlines(), 1):
            if (found := mark.search(line)) and file.path != "tests/test_house.py":
                yield f"{file.path}:{number} {found[0]}: do it, or leave it out"


def reasoned_exceptions(files: list[Source]) -> Iterator[str]:
    """Yield silenced checks that do not say why."""
    silenced = re.compile(r"#\s*(type:\s*ignore(\[[\w, -]*\])?|noqa(:\s*[A-Z0-9, ]+)?)\s*$")
    for file in files:
        for number, line in enumerate(file.text.splitlines(), 1):
            if silenced.search(line):
                yield f"{file.path}:{number}: say why in the same line, after another #"


def telling_names(files: list[Source]) -> Iterator[str]:
    """Yield files whose name promises nothing."""
    attic = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "handler", "core"}
    for file in files:
        if Path(file.path).stem in attic:
            yield f"{file.path}: name the file after the question that it answers"


LONG_FUNCTION = "def walk() -> None:\n" + "    step()\n" * (FUNCTION_LINES + 1)
GRANDCHILD = "class A: ...\nclass B(A): ...\nclass C(B): ...\n"
RULES: dict[Rule, Source] = {
    short_files: Source("grid/long.py", "x = 1\n" * (FILE_LINES + 1)),
    short_functions: Source("grid/long.py", LONG_FUNCTION),
    shallow_classes: Source("grid/deep.py", GRANDCHILD),
    named_arguments: Source("grid/loose.py", "def solve(**options: object) -> None: ...\n"),
    finished_work: Source("grid/later.py", "# TODO: losses\n"),
    reasoned_exceptions: Source("grid/mute.py", "x: int = ''  # type: ignore[assignment]\n"),
    telling_names: Source("grid/utils.py", ""),
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_file_keeps_the_rule(rule: Rule) -> None:
    violations = list(rule(sources(*CODE, "tests", "bench")))
    assert not violations, "\n" + "\n".join(violations)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_rule_sees_an_offender(rule: Rule) -> None:
    assert list(rule([RULES[rule]]))


def test_every_folder_of_code_is_a_package() -> None:
    folders = {Path(source.path).parent for source in sources(*CODE)}
    missing = [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").is_file()]
    assert not missing, f"add an __init__.py, or the wheel leaves it out: {missing}"


def test_the_import_folder_holds_exactly_the_links() -> None:
    links = {
        path.name: path.readlink()
        for path in (ROOT / "src/peercell").iterdir()
        if path.is_symlink()
    }
    assert links == {name: Path("../..") / name for name in ("agents", "broker", "configs", "grid")}


def test_every_dependency_is_decided() -> None:
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = pyproject["project"]["optional-dependencies"].values()
    groups = [
        pyproject["project"]["dependencies"],
        *extras,
        *pyproject["dependency-groups"].values(),
    ]
    names: set[str] = {
        canonicalize_name(Requirement(line).name) for group in groups for line in group
    }
    names.remove("peercell")
    decisions = (ROOT / "docs/decisions.md").read_text()
    decided = {canonicalize_name(name) for name in re.findall(r"^\| `([\w.-]+)`", decisions, re.M)}
    missing = sorted(names - decided)
    assert not missing, f"add a row to docs/decisions.md, 'Dependencies', for each of {missing}"
    stale = sorted(decided - names)
    assert not stale, f"docs/decisions.md still lists {stale}, which nothing depends on"
