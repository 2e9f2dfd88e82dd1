"""The files that settings come from: config.toml, .env, and a service manager's credentials."""

from __future__ import annotations

import codecs
import io
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from stat import S_ISREG

from dotenv.parser import Binding, parse_stream
from platformdirs import site_config_path

from ..errors import ConfigError

CONFIG_PATH_VARIABLE = "LMGATEWAY_CONFIG"
# Everybody may make a C:\etc on Windows, and every administrator looks below %ProgramData%.
MACHINE_FOLDER = (
    site_config_path("lmgateway", appauthor=False) if sys.platform == "win32" else Path("/etc/lmgateway")
)
DEFAULT_PATHS = (Path("config.toml"), MACHINE_FOLDER / "config.toml")
DOTENV_PATH = Path(".env")
# systemd.exec(5)
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# Windows PowerShell 5.1 writes UTF-16 with > and >>, into an existing file too.
_SAVE_AS_UTF_8 = "Save the file as UTF-8 (in PowerShell: Add-Content or Set-Content with -Encoding utf8)."


def find_file(chosen: Path | None, environ: Mapping[str, str | None]) -> Path | None:
    """Return the TOML file to read: the chosen one, else $LMGATEWAY_CONFIG, else the first usual one.

    Raises ConfigError.
    """
    if chosen is not None:
        return chosen
    if named := environ.get(CONFIG_PATH_VARIABLE):
        return Path(named)
    return next((path for path in DEFAULT_PATHS if _is_file(path)), None)


def read_toml(path: Path) -> dict[str, object]:
    """Return a file's tables. Raises ConfigError."""
    try:
        return tomllib.loads(_read_text(path))
    except ValueError as exc:  # also a number with more digits than Python reads
        raise ConfigError([f"{path}: is not TOML: {exc}"]) from exc
    except RecursionError as exc:
        raise ConfigError([f"{path}: is nested too deeply"]) from exc


def read_dotenv(path: Path) -> dict[str, str | None]:
    """Return what a .env file sets. Keys may hold a $, so nothing is interpolated. Raises ConfigError."""
    bindings = list(parse_stream(io.StringIO(_read_text(path)))) if _is_file(path) else []
    problems = [f"{path}: line {_line(found)} {fault}" for found in bindings if (fault := _fault(found))]
    if problems:
        raise ConfigError(problems)
    return {found.key: found.value for found in bindings if found.key is not None}


def _line(binding: Binding) -> int:
    # A binding begins with the empty lines before it.
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _fault(binding: Binding) -> str | None:
    if binding.error:
        return "is not NAME=VALUE"
    # Such as the byte order mark of a file that was appended to another one. The name would be another
    # program's, and ignored, though it looks like one of ours.
    if not (binding.key or "").isprintable():
        return "has an invisible character in its name; write the line again"
    return None


def read_credentials(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str | None]:
    """Return what systemd's LoadCredential= hands over: files that are named like these variables.

    Raises ConfigError.
    """
    folder = environ.get(CREDENTIALS_VARIABLE)
    if not folder:
        return {}
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
        content = path.read_bytes()
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    if content.startswith(_UTF_16_MARKS):
        raise ConfigError([f"{path}: is UTF-16. {_SAVE_AS_UTF_8}"])
    if (found := content.find(0)) >= 0:
        # As UTF-8 the names on such a line are other programs', and would be ignored.
        line = content.count(b"\n", 0, found) + 1
        raise ConfigError([f"{path}: line {line} has NUL characters: it is UTF-16. {_SAVE_AS_UTF_8}"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path}: is not UTF-8 at byte {exc.start}"]) from exc


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError([f"{path}: can't be read: {exc.strerror}"])
