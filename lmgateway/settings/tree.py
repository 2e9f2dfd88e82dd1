"""Which settings there are: the tables of a configuration, down to their leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

from msgspec import Struct, structs

from ..config import Config
from .leaf import Setting, alternatives, make_setting
from .paths import Path, write

# Of a table that the user names. Longer than any model's key.
MAX_NAME = 200


class Branch(Struct, frozen=True):
    """A table of settings and of further tables.

    `is_named`: it is, or stands in, a table that the user named.
    """

    path: Path
    type: type[Struct]
    children: Mapping[str, Node]
    is_named: bool

    def build(self, values: Mapping[str, Any]) -> Struct:
        """Return the Struct with these values, which are by TOML's names, and in dicts for further tables."""
        attributes = {info.encode_name: info.name for info in structs.fields(self.type)}
        return self.type(
            **{attributes[name]: _built(self.children[name], value) for name, value in values.items()}
        )


class NamedTables(Struct, frozen=True):
    """A table of tables, all of one type, whose names the user chooses: `[models."qwen/qwen3-8b"]`."""

    path: Path
    type: type[Struct]

    def child(self, name: str) -> Branch:
        return branch_of(self.type, (*self.path, name), is_named=True)

    def build(self, values: Mapping[str, Any]) -> Mapping[str, Struct]:
        return MappingProxyType({name: self.child(name).build(table) for name, table in values.items()})


Node = Setting | Branch | NamedTables


def is_name(text: str) -> bool:
    """Whether a user may call a table so."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text == text.strip()


def _built(node: Node, value: Any) -> Any:
    return value if isinstance(node, Setting) else node.build(value)


def branch_of(table: type[Struct], path: Path = (), *, is_named: bool = False) -> Branch:
    """Return the tree of settings that a type describes."""
    hints = get_type_hints(table, include_extras=True)
    children = {
        info.encode_name: _node(
            (*path, info.encode_name), hints[info.name], info.default, table=table, is_named=is_named
        )
        for info in structs.fields(table)
    }
    return Branch(path, table, children, is_named)


def _node(path: Path, annotation: Any, default: object, *, table: type[Struct], is_named: bool) -> Node:
    kind = next(kind for kind, _ in alternatives(annotation))
    if get_origin(kind) is Mapping:
        return NamedTables(path, get_args(kind)[1])
    if isinstance(kind, type) and issubclass(kind, Struct):
        return branch_of(kind, path, is_named=is_named)
    return make_setting(path, annotation, default, table=table, is_named=is_named)


def _descendants(branch: Branch) -> Iterator[Node]:
    for child in branch.children.values():
        yield child
        if isinstance(child, Branch):
            yield from _descendants(child)


ROOT = branch_of(Config)
# Those whose paths are fixed, by TOML's way of writing them.
SETTINGS: Mapping[str, Setting] = {
    node.name: node for node in _descendants(ROOT) if isinstance(node, Setting)
}
TABLES: Sequence[str] = sorted(
    write(node.path) for node in _descendants(ROOT) if not isinstance(node, Setting)
)
