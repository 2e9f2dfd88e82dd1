"""Merges the settings of all sources, and collects every mistake in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

import msgspec
from msgspec import Struct, field

from ..errors import ConfigError
from . import paths
from .leaf import Setting
from .source import COMMAND_LINE, DEFAULTS, Source
from .tree import FIXED, ROOT, TABLES, Branch, NamedTables, Node


class SettingValue(Struct, frozen=True):
    """The value of a setting, and its source. `origin` is the source's name, with a variable's.

    `is_inherited`: the source sets it for all boxes, and this is the value of one of them.
    """

    setting: Setting
    value: object
    origin: str
    source: Source
    variable: str = ""
    is_inherited: bool = False


def default_of(setting: Setting) -> SettingValue:
    """Return the value of a setting that no source sets."""
    return SettingValue(setting, setting.default, DEFAULTS.name, DEFAULTS)


class Collector(Struct):
    """The values so far. Add the sources in order, because a later one overrides an earlier one."""

    root: Branch = ROOT
    values: dict[paths.SettingPath, SettingValue] = field(default_factory=dict)
    overridden: list[tuple[paths.SettingPath, SettingValue]] = field(default_factory=list)
    named_tables: list[paths.SettingPath] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def collecting_problems(self) -> Iterator[None]:
        """Collect the ConfigError of an unreadable source, so that the other sources are checked too."""
        try:
            yield
        except ConfigError as exc:
            self.problems.extend(exc.problems)

    def take_toml(self, tables: Mapping[str, object], source: Source) -> None:
        self._take((), self.root, tables, source, text=False)

    def take_environment(self, environ: Mapping[str, str | None], source: Source) -> None:
        for path, setting in FIXED.items():
            # An empty variable counts as not set: compose files and units leave variables blank.
            variable = next((name for name in setting.env if environ.get(name)), None)
            if variable is not None:
                self._take_value(path, setting, environ[variable], source, text=True, variable=variable)

    def take_command_line(self, options: Mapping[str, str]) -> None:
        """Take texts by their settings' TOML paths. Raises ValueError for an invalid path."""
        for written, text in options.items():
            value: object = text
            for name in reversed(paths.parse(written)):
                value = {name: value}
            self._take((), self.root, value, COMMAND_LINE, text=True)

    def _take(
        self, path: paths.SettingPath, node: Node, value: object, source: Source, *, text: bool
    ) -> None:
        if isinstance(node, Setting):
            self._take_value(path, node, value, source, text=text)
        elif not isinstance(value, Mapping):
            # The message doesn't contain the value, which may be a secret.
            self._complain(source, path, _not_a_table(path, node))
        else:
            for name, inner in value.items():
                child = self._child(path, node, name, source)
                if child is not None:
                    self._take((*path, name), child, inner, source, text=text)

    def _child(
        self, path: paths.SettingPath, node: Branch | NamedTables, name: str, source: Source
    ) -> Node | None:
        """Return the table's node with this name; if there is none, collect the mistake and return None."""
        child = (*path, name)
        if isinstance(node, Branch):
            if name not in node.children:
                self._complain(source, child, _unknown(node, child))
            return node.children.get(name)
        if not node.accepts(name):
            self._complain(source, child, f"invalid name, expected {node.expected_name}")
            return None
        self.named_tables.append(child)
        return node.table

    def _take_value(
        self,
        path: paths.SettingPath,
        setting: Setting,
        value: object,
        source: Source,
        *,
        text: bool,
        variable: str = "",
    ) -> None:
        """Store the value if it is valid; otherwise collect the mistake."""
        if setting.secret and source == COMMAND_LINE:
            # Every user of the machine can read a process's arguments.
            where = f"with {setting.env[0]} or in the file" if setting.env else "in the file"
            self._complain(source, path, f"other users can see it here: set it {where}")
            return
        try:
            converted = setting.convert(value, text=text)
        except (msgspec.ValidationError, UnicodeEncodeError) as exc:
            self._complain(source, (variable,) if variable else path, setting.complain(value, exc))
            return
        if path in self.values:
            self.overridden.append((path, self.values[path]))
        origin = f"{source.name} ({variable})" if variable else source.name
        self.values[path] = SettingValue(setting, converted, origin, source, variable)

    def _complain(self, source: Source, path: paths.SettingPath, message: str) -> None:
        self.problems.append(f"{source.name}: {paths.write(path)}: {message}")

    def build(self) -> Struct:
        """Return the root's Struct. Settings that no source sets have their defaults."""
        tree: dict[str, Any] = {}
        for path in self.named_tables:
            _descend(tree, path)
        for path, taken in self.values.items():
            _descend(tree, path[:-1])[path[-1]] = taken.value
        return self.root.build(tree)


def _not_a_table(path: paths.SettingPath, node: Branch | NamedTables) -> str:
    written = paths.write(path)
    if isinstance(node, Branch) and node.is_named and path[-1] in node.children:
        return f"write it below the name of one table: [{paths.write(path[:-1])}.NAME]"
    below = f"{written}.NAME" if isinstance(node, NamedTables) else written
    return f"is a table: write its settings below [{below}]"


def _unknown(parent: Branch, path: paths.SettingPath) -> str:
    if parent.is_named:
        known, name, others = [*parent.children], path[-1], f"known are {', '.join(parent.children)}"
    else:
        known, name = [paths.write(one) for one in (*FIXED, *TABLES)], paths.write(path)
        others = "config.example.toml lists all settings"
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"no such setting; {f'did you mean {near[0]}?' if near else others}"


def _descend(tree: dict[str, Any], path: paths.SettingPath) -> dict[str, Any]:
    for name in path:
        tree = tree.setdefault(name, {})
    return tree
