"""Where the configuration comes from: command line > environment > .env > TOML file > defaults.

A credential that systemd hands over counts as an environment variable, but an actual one is stronger.

Every mistake is collected and told at once, with its source, what was found and what is allowed.
"""

from __future__ import annotations

import io
import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from stat import S_ISREG
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import msgspec
from dotenv.parser import parse_stream
from msgspec import Meta, Struct, field
from platformdirs import site_config_path

from .config import Config, Table, decode_custom
from .errors import ConfigError
from .networks import Networks

CONFIG_PATH_VARIABLE = "LMGATEWAY_CONFIG"
# Everybody may make a C:\etc on Windows, and every administrator looks below %ProgramData%.
MACHINE_FOLDER = (
    site_config_path("lmgateway", appauthor=False) if sys.platform == "win32" else Path("/etc/lmgateway")
)
DEFAULT_PATHS = (Path("config.toml"), MACHINE_FOLDER / "config.toml")
DOTENV_PATH = Path(".env")
# systemd.exec(5)
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
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
            path = prefix + key
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


def find_file(chosen: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the TOML file to read: the chosen one, else $LMGATEWAY_CONFIG, else the first usual one.

    Raises ConfigError.
    """
    if chosen is not None:
        return chosen
    if named := environ.get(CONFIG_PATH_VARIABLE):
        return Path(named)
    return next((path for path in DEFAULT_PATHS if _is_file(path)), None)


def _read_toml(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError([f"{path}: is not TOML: {exc}"]) from exc


def _read_dotenv(path: Path) -> dict[str, str | None]:
    """Return what a .env file sets. Keys may hold a $, so nothing is interpolated. Raises ConfigError."""
    bindings = list(parse_stream(io.StringIO(_read_text(path)))) if _is_file(path) else []
    problems = [f"{path}: line {found.original.line} is not NAME=VALUE" for found in bindings if found.error]
    if problems:
        raise ConfigError(problems)
    return {found.key: found.value for found in bindings if found.key is not None}


def _read_credentials(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return what systemd's LoadCredential= hands over: files that are named like the variables.

    Raises ConfigError.
    """
    folder = environ.get(CREDENTIALS_VARIABLE)
    if not folder:
        return {}
    names = (name for setting in SETTINGS.values() for name in setting.env)
    files = ((name, Path(folder, name)) for name in names)
    return {name: _read_text(file).rstrip("\r\n") for name, file in files if _is_file(file)}


def _is_file(path: Path) -> bool:
    """Tell whether there is such a file. Raises ConfigError where nobody can tell.

    Path.is_file() raises OSError there, or says no, which would be a key that is left out without a word.
    """
    try:
        return S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path}: is not UTF-8 at byte {exc.start}"]) from exc


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError([f"{path}: can't be read: {exc.strerror}"])


def load(
    *,
    file: Path | None,
    environ: Mapping[str, str],
    command_line: Mapping[str, str] | None = None,
    dotenv: Path = DOTENV_PATH,
) -> Loaded:
    """Return the configuration in force. Raises ConfigError with every mistake that was found."""
    found = _Collector()
    path = find_file(file, environ)
    if path is not None:
        with found.problems_kept():
            found.take_tables(_read_toml(path), str(path))
    with found.problems_kept():
        found.take_environment(_read_dotenv(dotenv), str(dotenv))
    with found.problems_kept():
        found.take_environment(_read_credentials(environ), "credential")
    found.take_environment(environ, "environment")
    found.take_command_line(command_line or {})
    if found.problems:
        raise ConfigError(found.problems)
    origins = {setting: found.origins.get(setting, DEFAULT_ORIGIN) for setting in SETTINGS}
    return Loaded(found.build(), origins, path)
