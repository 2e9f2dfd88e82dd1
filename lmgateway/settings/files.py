"""The files with settings: config.toml, .env, and a service manager's credentials."""

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
from .source import Trust

CONFIG_PATH_VARIABLE = "LMGATEWAY_CONFIG"
# Not C:\etc on Windows, which every user may create.
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
    """Return the TOML file to read: the chosen one, else $LMGATEWAY_CONFIG, else the first default one.

    Raises ConfigError.
    """
    if chosen is not None:
        return chosen
    if named := environ.get(CONFIG_PATH_VARIABLE):
        return Path(named)
    return next((path for path in DEFAULT_PATHS if _is_file(path)), None)


def trust_of(
    path: Path, chosen: Path | None, environ: Mapping[str, str | None], dotenv: Mapping[str, str | None]
) -> Trust:
    """Return the trust in the TOML file `path`, which was found by `chosen`, $LMGATEWAY_CONFIG or default."""
    if chosen is not None:
        return Trust.COMMAND
    if environ.get(CONFIG_PATH_VARIABLE):
        return Trust.USER
    if dotenv.get(CONFIG_PATH_VARIABLE):
        return Trust.DOTENV
    return Trust.FOLDER if path == DEFAULT_PATHS[0] else Trust.USER


def read_toml(path: Path) -> dict[str, object]:
    """Return a file's tables. Raises ConfigError."""
    try:
        return tomllib.loads(_read_text(path))
    except ValueError as exc:  # includes integers with too many digits
        raise ConfigError([f"{path}: is not TOML: {exc}"]) from exc
    except RecursionError as exc:
        raise ConfigError([f"{path}: is nested too deeply"]) from exc


def read_dotenv(path: Path) -> dict[str, str | None]:
    """Return the variables in a .env file, without interpolation: a key may contain $. Raises ConfigError."""
    bindings = list(parse_stream(io.StringIO(_read_text(path)))) if _is_file(path) else []
    problems = [f"{path}: line {_line(one)} {fault}" for one in bindings if (fault := _fault(one))]
    if problems:
        raise ConfigError(problems)
    return {one.key: one.value for one in bindings if one.key is not None}


def _line(binding: Binding) -> int:
    # A binding includes the empty lines before it.
    text = binding.original.string
    return binding.original.line + text[: len(text) - len(text.lstrip())].count("\n")


def _fault(binding: Binding) -> str | None:
    if binding.error:
        return "is not NAME=VALUE"
    # Such as the byte order mark of a file that was appended to another one. The name looks like one of the
    # gateway's, but would be ignored as an unknown one.
    if not (binding.key or "").isprintable():
        return "has an invisible character in its name; write the line again"
    return None


def read_credentials(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, str | None]:
    """Return the credentials that systemd passes by LoadCredential=: files with these variables' names.

    Raises ConfigError.
    """
    folder = environ.get(CREDENTIALS_VARIABLE)
    if not folder:
        return {}
    files = ((name, Path(folder, name)) for name in names)
    return {name: _read_text(file).rstrip("\r\n") for name, file in files if _is_file(file)}


def _is_file(path: Path) -> bool:
    """True if there is such a file. Raises ConfigError if the path can't be examined.

    Path.is_file() returns False for some of these errors, and a file with a key would be ignored silently.
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
    if (position := content.find(0)) >= 0:
        # Decoded as UTF-8, the names on this line would be ignored as unknown ones.
        line = content.count(b"\n", 0, position) + 1
        raise ConfigError([f"{path}: line {line} has NUL characters: it is UTF-16. {_SAVE_AS_UTF_8}"])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigError([f"{path}: is not UTF-8 at byte {exc.start}"]) from exc


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError([f"{path}: can't be read: {exc.strerror}"])
