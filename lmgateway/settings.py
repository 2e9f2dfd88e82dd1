"""Where the configuration comes from: command line > environment > .env > TOML file > defaults.

A credential that systemd hands over counts as an environment variable, but an actual one is stronger.

Every mistake is collected and told at once, with its source, what was found and what is allowed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct, field

from . import settings_files
from .config import Config, Table, decode_custom
from .errors import ConfigError
from .networks import Networks
from .settings_files import DOTENV_PATH, find_file

DEFAULT_ORIGIN = "default"
COMMAND_LINE_ORIGIN = "command line"


class Setting(Struct, frozen=True):
    """One leaf of the configuration: its dotted TOML path, its type, and how a person meets it."""

    path: str
    type: Any
    default: object
    base: Any
    metas: tuple[Meta, ...]

    @property
    def env(self) -> tuple[str, ...]:
        """The environment variables that set it, the strongest first."""
        return cast("tuple[str, ...]", self._extra("env", ()))

    @property
    def secret(self) -> bool:
        return bool(self._extra("secret", False))

    @property
    def allowed(self) -> str:
        return next(meta.description for meta in self.metas if meta.description)

    @property
    def is_list(self) -> bool:
        return get_origin(self.base) is tuple or (
            isinstance(self.base, type) and issubclass(self.base, Networks)
        )

    def _extra(self, key: str, default: object) -> object:
        return next((meta.extra[key] for meta in self.metas if meta.extra and key in meta.extra), default)

    def convert(self, value: object, *, text: bool) -> object:
        """Return the value as its type; from `text` sources, where everything is a string, leniently.

        Raises msgspec.ValidationError, UnicodeEncodeError.
        """
        if isinstance(value, str) and not self.secret:
            value = value.strip()
            if get_origin(self.base) is Literal:
                value = value.lower()
            elif self.is_list:
                value = [part.strip() for part in value.split(",") if part.strip()]
        return msgspec.convert(value, self.type, strict=not text, dec_hook=decode_custom)

    def show(self, value: object) -> str:
        """Return the value as `lmgateway check` prints it, and as TOML would write it."""
        if self.secret:
            return '"********"' if value else '""'
        return "not set" if value is None else self.literal(value)

    def literal(self, value: object) -> str:
        """Return the value, a secret too, as TOML writes it, which is as JSON does for all that there are."""
        return msgspec.json.encode(value, enc_hook=_plain).decode()

    def complain(self, value: object, reason: BaseException) -> str:
        """Return what is wrong with the value. A secret, or a password in a URL, is not repeated."""
        if self.secret:
            return f"found something else (not shown), allowed is {self.allowed}"
        found = str(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False, default=str)
        # A user name and password, wherever somebody put them; and bytes that were no text.
        found = re.sub("^(.*//)?.*@", r"\1********@", found).encode("utf-8", "backslashreplace").decode()
        # The cause is what a decoder of ours objected to; msgspec's own words only repeat what is allowed.
        because = f" ({reason.__cause__})" if reason.__cause__ else ""
        return f"found {found}{because}, allowed is {self.allowed}"


def _plain(value: object) -> object:
    return value.entries if isinstance(value, Networks) else str(value)


def _unwrap(annotation: Any) -> tuple[Any, tuple[Meta, ...]]:
    """Return the type below Annotated and `| None`, and every Meta on the way, the outermost first."""
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        base, deeper = _unwrap(inner)
        return base, (*(meta for meta in metas if isinstance(meta, Meta)), *deeper)
    if get_origin(annotation) in {Union, UnionType}:
        return _unwrap(next(part for part in get_args(annotation) if part is not NoneType))
    return annotation, ()


def _leaves(table: type[Table], prefix: str = "") -> Iterator[Setting]:
    hints = get_type_hints(table, include_extras=True)
    for info in msgspec.structs.fields(table):
        if isinstance(info.default, Table):
            yield from _leaves(type(info.default), f"{prefix}{info.name}.")
        else:
            annotation = hints[info.name]
            yield Setting(prefix + info.name, annotation, info.default, *_unwrap(annotation))


SETTINGS: Mapping[str, Setting] = {setting.path: setting for setting in _leaves(Config)}


class Loaded(Struct, frozen=True):
    """A configuration, and for each setting's path where its value came from."""

    config: Config
    origins: Mapping[str, str]
    file: Path | None

    def value(self, path: str) -> object:
        """Return what is in force for the setting with this dotted path."""
        table, _, name = path.rpartition(".")
        return getattr(getattr(self.config, table) if table else self.config, name)


class _Collector(Struct):
    """Takes values from one source after the other, the weakest first, and keeps every mistake."""

    values: dict[str, object] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def take(self, setting: Setting, value: object, source: str, *, text: bool, name: str = "") -> None:
        """Use `value` for the setting, unless it is wrong. `name` is what the source calls the setting."""
        try:
            converted = setting.convert(value, text=text)
        except (msgspec.ValidationError, UnicodeEncodeError) as exc:
            self.problems.append(f"{source}: {name or setting.path}: {setting.complain(value, exc)}")
            return
        self.values[setting.path] = converted
        self.origins[setting.path] = f"{source} ({name})" if name else source

    @contextmanager
    def problems_kept(self) -> Iterator[None]:
        """Go on after a source that can't be read at all, so that the mistakes of the others are told too."""
        try:
            yield
        except ConfigError as exc:
            self.problems.extend(exc.problems)

    def take_unknown(self, path: str, source: str) -> None:
        known = list(SETTINGS) + sorted({name.partition(".")[0] for name in SETTINGS if "." in name})
        near = get_close_matches(path, [name for name in known if name != path], n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else "; config.example.toml lists all that there are"
        self.problems.append(f"{source}: {path}: no such setting{hint}")

    def take_tables(self, tables: Mapping[str, object], source: str, prefix: str = "") -> None:
        for key, value in tables.items():
            # A line of what was found must stay one.
            path = prefix + (key if key.isprintable() else json.dumps(key))
            is_table = any(known.startswith(f"{path}.") for known in SETTINGS)
            if path in SETTINGS:
                self.take(SETTINGS[path], value, source, text=False)
            elif is_table and isinstance(value, Mapping):
                self.take_tables(value, source, f"{path}.")
            elif is_table:
                self.problems.append(f"{source}: {path}: is a table, and its settings stand below [{path}]")
            else:
                self.take_unknown(path, source)

    def take_environment(self, environ: Mapping[str, str | None], source: str) -> None:
        for setting in SETTINGS.values():
            # An empty variable is one that a compose file or a unit left blank: not set.
            name = next((name for name in setting.env if environ.get(name)), None)
            if name is not None:
                self.take(setting, environ[name], source, text=True, name=name)

    def take_command_line(self, options: Mapping[str, str]) -> None:
        for path, value in options.items():
            setting = SETTINGS.get(path)
            if setting is None:
                self.take_unknown(path, COMMAND_LINE_ORIGIN)
            elif setting.secret:
                # Every user of the machine can read a process's arguments.
                self.problems.append(
                    f"{COMMAND_LINE_ORIGIN}: {path}: set it by {setting.env[0]} or in the file"
                )
            else:
                self.take(setting, value, COMMAND_LINE_ORIGIN, text=True)

    def build(self) -> Config:
        tables: dict[str, dict[str, object]] = {}
        for path, value in self.values.items():
            table, _, key = path.rpartition(".")
            tables.setdefault(table, {})[key] = value
        top = tables.pop("", {})
        replace = msgspec.structs.replace
        config = Config()
        return replace(
            config, **top, **{name: replace(getattr(config, name), **keys) for name, keys in tables.items()}
        )


def load(
    *,
    file: Path | None,
    environ: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
    dotenv: Path = DOTENV_PATH,
) -> Loaded:
    """Return the configuration in force. Raises ConfigError with every mistake that was found."""
    found = _Collector()
    names = [name for setting in SETTINGS.values() for name in setting.env]
    in_dotenv: Mapping[str, str | None] = {}
    with found.problems_kept():
        in_dotenv = settings_files.read_dotenv(dotenv)
    path = find_file(file, {**in_dotenv, **{name: text for name, text in environ.items() if text}})
    if path is not None:
        with found.problems_kept():
            found.take_tables(settings_files.read_toml(path), str(path))
    found.take_environment(in_dotenv, str(dotenv))
    with found.problems_kept():
        found.take_environment(settings_files.read_credentials(environ, names), "credential")
    found.take_environment(environ, "environment")
    found.take_command_line(command_line or {})
    if found.problems:
        raise ConfigError(found.problems)
    origins = {setting: found.origins.get(setting, DEFAULT_ORIGIN) for setting in SETTINGS}
    return Loaded(found.build(), origins, path)
