"""The structure of the code: which module may know which, and how large a part may grow."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import lmgateway

PACKAGE = Path(lmgateway.__file__).parent
# The top first. A module imports those of its own layer and of the layers below it.
LAYERS = (
    {"__main__"},
    {"cli"},
    {"service"},
    {"app"},
    {"lifespan"},
    {"server"},
    {"web"},
    {"scheduling"},
    {"access"},
    {"models"},
    {"traffic"},
    {"boxes"},
    {"storage"},
    {"observe"},
    {"settings"},
    {"config"},
    {"setting_types"},
    {"schema", "networks"},
    {"background", "caching", "errors", "text", "turns", "untrusted"},
    {"aiohttp_private"},
    {"__init__"},
)
TABLES = {"errors", "web.operations.examples"}
LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}


def modules() -> dict[str, ast.Module]:
    """Every module of the package by its dotted name; a package's own is called by the folder's name."""
    trees = {}
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)
        trees[name] = ast.parse(file.read_text())
    return trees


def imports(name: str, tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Yield the modules of the package that this one imports, also inside functions and for types alone."""
    is_package = (PACKAGE / Path(*name.split(".")) / "__init__.py").exists()
    folder = name.split(".") if is_package else name.split(".")[:-1]
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or node.level == 0:
            continue
        base = folder[: len(folder) - (node.level - 1)]
        source = [*base, *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            inner = ".".join([*source, alias.name])
            yield inner if inner in known else ".".join(source) or "__init__"


def test_imports_never_point_up() -> None:
    """A module imports those beside and below it; the simulator, which only commands run, none."""
    trees = modules()
    wrong = set()
    for name, tree in trees.items():
        here = name.split(".")[0]
        for target in imports(name, tree, set(trees)):
            there = target.split(".")[0]
            if "simulator" in {here, there}:
                allowed = here == there or (there == "simulator" and here == "cli")
            else:
                allowed = LEVEL[there] >= LEVEL[here]
            if not allowed:
                wrong.add(f"{name} imports {target}")
    assert wrong == set()


def test_no_two_modules_import_each_other() -> None:
    """Also not by way of others, nor for types alone."""
    trees = modules()
    graph = {name: set(imports(name, tree, set(trees))) - {name} for name, tree in trees.items()}
    circles = [path for name in graph if (path := path_between(graph, name, name))]
    assert circles == []


def path_between(graph: dict[str, set[str]], start: str, end: str) -> list[str] | None:
    """A way along the imports, by breadth first."""
    ways = [[start]]
    seen = set()
    for way in ways:
        for target in graph[way[-1]]:
            if target == end:
                return [*way, target]
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def test_the_map_names_every_module() -> None:
    """The map of the code has no blank places."""
    text = (PACKAGE.parent / "docs" / "how-it-works.md").read_text()
    parts = [path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name[0] != "_"]
    parts += [path.name for path in PACKAGE.glob("*.py") if path.name[0] != "_"]
    assert [name for name in parts if f"`{name}/`" not in text and f"`{name}`" not in text] == []


def test_no_function_outgrows_a_screen_and_no_file_a_head() -> None:
    """50 lines and 250, but for tables, which are looked up and not read."""
    trees = modules()
    files = {
        name: max((node.end_lineno or 0 for node in tree.body), default=0) for name, tree in trees.items()
    }
    functions = {
        f"{name}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for name, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
    }
    assert {name for name, lines in files.items() if lines > 250} <= TABLES
    assert {name for name, lines in functions.items() if lines > 50} == set()
