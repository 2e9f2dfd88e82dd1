"""Takes settings from one source after the other, and collects every mistake."""

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
from .tree import MAX_NAME, ROOT, SETTINGS, TABLES, Branch, NamedTables, Node, is_name

COMMAND_LINE_ORIGIN = "command line"


class Found(Struct, frozen=True):
    """The value of a setting, and the source that it is from."""

    setting: Setting
    value: object
    origin: str


class Collector(Struct):
    """What was found so far. The sources are to be taken from the weakest to the strongest."""

    root: Branch = ROOT
    found: dict[paths.Path, Found] = field(default_factory=dict)
    named_tables: list[paths.Path] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @contextmanager
    def problems_kept(self) -> Iterator[None]:
        """Go on after a source that can't be read at all, so that the mistakes of the others are told too."""
        try:
            yield
        except ConfigError as exc:
            self.problems.extend(exc.problems)

    def take_toml(self, tables: Mapping[str, object], source: str) -> None:
        self._take(self.root, tables, source, text=False)

    def take_environment(self, environ: Mapping[str, str | None], source: str) -> None:
        for setting in SETTINGS.values():
            # An empty variable is one that a compose file or a unit left blank: not set.
            variable = next((name for name in setting.env if environ.get(name)), None)
            if variable is not None:
                self._take_value(setting, environ[variable], source, text=True, variable=variable)

    def take_command_line(self, options: Mapping[str, str]) -> None:
        """Take texts by their settings' paths, which are written as in TOML. Raises ValueError for others."""
        for written, text in options.items():
            value: object = text
            for name in reversed(paths.parse(written)):
                value = {name: value}
            self._take(self.root, value, COMMAND_LINE_ORIGIN, text=True)

    def _take(self, node: Node, value: object, source: str, *, text: bool) -> None:
        if isinstance(node, Setting):
            self._take_value(node, value, source, text=text)
        elif not isinstance(value, Mapping):
            # The value is not repeated: it may be a secret that belongs into the table.
            path = paths.write(node.path)
            below = f"{path}.NAME" if isinstance(node, NamedTables) else path
            self._complain(source, path, f"is a table, and its settings stand below [{below}]")
        elif isinstance(node, NamedTables):
            self._take_named_tables(node, value, source, text=text)
        else:
            for name, inner in value.items():
                if child := node.children.get(name):
                    self._take(child, inner, source, text=text)
                else:
                    self._complain(source, paths.write((*node.path, name)), _unknown(node, name))

    def _take_named_tables(
        self, node: NamedTables, tables: Mapping[str, object], source: str, *, text: bool
    ) -> None:
        for name, inner in tables.items():
            path = (*node.path, name)
            if not is_name(name):
                allowed = f"1 to {MAX_NAME} printable characters without outer spaces"
                self._complain(source, paths.write(path), f"allowed as a name is text of {allowed}")
                continue
            if isinstance(inner, Mapping):
                self.named_tables.append(path)
            self._take(node.child(name), inner, source, text=text)

    def _take_value(
        self, setting: Setting, value: object, source: str, *, text: bool, variable: str = ""
    ) -> None:
        """Use the value, unless it is wrong."""
        if setting.secret and source == COMMAND_LINE_ORIGIN:
            # Every user of the machine can read a process's arguments.
            where = f"by {setting.env[0]} or in the file" if setting.env else "in the file"
            self._complain(source, setting.name, f"set it {where}")
            return
        try:
            converted = setting.convert(value, text=text)
        except (msgspec.ValidationError, UnicodeEncodeError) as exc:
            self._complain(source, variable or setting.name, setting.complain(value, exc))
            return
        origin = f"{source} ({variable})" if variable else source
        self.found[setting.path] = Found(setting, converted, origin)

    def _complain(self, source: str, path: str, message: str) -> None:
        self.problems.append(f"{source}: {path}: {message}")

    def build(self) -> Struct:
        """Return the root's Struct; what wasn't found is as by default."""
        values: dict[str, Any] = {}
        for path in self.named_tables:
            _descend(values, path)
        for path, found in self.found.items():
            _descend(values, path[:-1])[path[-1]] = found.value
        return self.root.build(values)


def _unknown(parent: Branch, name: str) -> str:
    if parent.is_named:
        known, meant, others = [*parent.children], name, f"there are {', '.join(parent.children)}"
    else:
        known, meant = [*SETTINGS, *TABLES], paths.write((*parent.path, name))
        others = "config.example.toml lists all that there are"
    near = get_close_matches(meant, known, n=1, cutoff=0.5)
    return f"no such setting; {f'did you mean {near[0]}?' if near else others}"


def _descend(values: dict[str, Any], path: paths.Path) -> dict[str, Any]:
    for name in path:
        values = values.setdefault(name, {})
    return values
