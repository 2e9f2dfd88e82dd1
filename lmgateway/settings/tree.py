"""The tree of all settings: the tables of a configuration, down to their leaves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct, structs

from ..config import Config
from .leaf import Setting, alternatives, make_setting
from .paths import SettingPath, write

# The length of a table's name that the user chooses. Longer than any model's key.
MAX_NAME = 200


class Branch(Struct, frozen=True):
    """A table of settings and of further tables, by their names in TOML.

    `is_named`: the user chose this table's name, or the name of one around it.
    """

    type: type[Struct]
    children: Mapping[str, Node]
    is_named: bool

    def build(self, values: Mapping[str, Any]) -> Struct:
        """Return the Struct with these values. Those of inner tables are in dicts."""
        attributes = dict(zip(self.type.__struct_encode_fields__, self.type.__struct_fields__, strict=True))
        return self.type(
            **{attributes[name]: _built(self.children[name], value) for name, value in values.items()}
        )


class NamedTables(Struct, frozen=True):
    """A table of tables, each like `table`, whose names the user chooses: `[models."qwen/qwen3-8b"]`.

    `name` is the type of these names.
    """

    name: Any
    table: Branch

    def accepts(self, name: str) -> bool:
        """True if a user may give a table this name."""
        try:
            msgspec.convert(name, self.name)
        except msgspec.ValidationError:
            return False
        return is_name(name)

    @property
    def expected_name(self) -> str:
        """Completes "expected …"."""
        described = [meta.description for _, metas in alternatives(self.name) for meta in metas]
        return next(filter(None, described), f"1 to {MAX_NAME} printable characters without outer spaces")

    def build(self, values: Mapping[str, Any]) -> Mapping[str, Struct]:
        return MappingProxyType({name: self.table.build(table) for name, table in values.items()})


Node = Setting | Branch | NamedTables


def is_name(text: str) -> bool:
    """True if a table whose names have no type of their own may have this name."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text == text.strip()


def _built(node: Node, value: Any) -> Any:
    return value if isinstance(node, Setting) else node.build(value)


def branch_of(table: type[Struct], *, is_named: bool = False) -> Branch:
    """Return the tree of a type's settings."""
    hints = get_type_hints(table, include_extras=True)
    children: dict[str, Node] = {}
    for info in structs.fields(table):
        annotation = hints[info.name]
        kind = next(kind for kind, _ in alternatives(annotation))
        if get_origin(kind) is Mapping:
            name, inner = get_args(kind)
            node: Node = NamedTables(name, branch_of(inner, is_named=True))
        elif isinstance(kind, type) and issubclass(kind, Struct):
            node = branch_of(kind, is_named=is_named)
        else:
            node = make_setting(annotation, info.default, table=table, is_named=is_named)
        children[info.encode_name] = node
    return Branch(table, children, is_named)


def _descendants(branch: Branch, path: SettingPath = ()) -> Iterator[tuple[SettingPath, Node]]:
    """Yield all nodes whose paths are fixed."""
    for name, child in branch.children.items():
        yield (*path, name), child
        if isinstance(child, Branch):
            yield from _descendants(child, (*path, name))


ROOT = branch_of(Config)
# The settings and tables whose paths are fixed.
FIXED: Mapping[SettingPath, Setting] = {
    path: node for path, node in _descendants(ROOT) if isinstance(node, Setting)
}
TABLES: Sequence[SettingPath] = sorted(
    path for path, node in _descendants(ROOT) if not isinstance(node, Setting)
)
# The same settings by their TOML paths.
SETTINGS: Mapping[str, Setting] = {write(path): setting for path, setting in FIXED.items()}
