"""Which modules does a role import that belong to the outside world? Read off its source."""

import ast
import inspect
from collections.abc import Iterator
from types import ModuleType

FORBIDDEN = frozenset(
    {"zmq", "asyncio", "socket", "threading", "multiprocessing", "subprocess", "time", "os"}
    | {"pathlib", "mesa", "random", "secrets", "uuid", "urllib", "http", "requests", "shutil"}
    | {"concurrent", "signal", "tempfile", "select", "selectors", "ssl", "sqlite3"}
)
"""What has a clock, chance, sockets, files, threads or processes; `broker` has them for all."""

_BROKER = "peercell.broker"
_NOW = {"now", "utcnow", "today"}


def outside_imports(module: ModuleType) -> list[str]:
    """Return what a module imports from the outside world, "name (file:line)"; sorted by line.

    What only the method `example` imports does not count: it is not run in a cell.
    """
    try:
        tree = ast.parse(inspect.getsource(module))
    except OSError:
        return []  # a module without source, such as one made by hand in a console
    file = (module.__file__ or "").rpartition("/")[2]
    return [f"{name} ({file}:{line})" for line, name in sorted(_outside(tree))]


def _outside(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.FunctionDef(name="example"):
                continue
            case ast.Import(names=names):
                yield from ((node.lineno, each.name) for each in names if _is_outside(each.name))
            case ast.ImportFrom(module=str() as name, level=0) if _is_outside(name):
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _NOW:
                called = ast.unparse(value)
                if called.split(".")[-1] in {"datetime", "date"}:
                    yield node.lineno, f"{called}.{attr}()"
        yield from _outside(node)


def _is_outside(name: str) -> bool:
    return name.partition(".")[0] in FORBIDDEN or f"{name}.".startswith(f"{_BROKER}.")
