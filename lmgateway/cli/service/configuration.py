"""The service's configuration, made of the one with which the gateway ran so far."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from ... import settings
from ...config import Config
from ...errors import ConfigError
from ...settings.boxes import table_of
from .. import manual
from . import toml_text
from .places import CERTIFICATE_DROP_IN, DRAIN_DROP_IN, LOG_DROP_IN, SERVICE, Places
from .toml_text import Change

_TLS = {"server.tls_cert": "tls.crt", "server.tls_key": "tls.key"}
_CREDENTIALS = f"/run/credentials/{SERVICE}/"
_PATHS = (*_TLS, "server.state_dir")
# A secret that was turned into a comment. Everybody can read the machine's configuration.
_COMMENTED_OUT = r"^[ \t]*#[# \t]*(?:{})[ \t]*=[ \t]*([\"'])(?!\1).*\n?"
# Of the units: TimeoutStopSec=40, and a margin to close what is open.
_UNIT_DRAIN_SECONDS, _MARGIN_SECONDS = 30, 10


class ServiceConfig(Struct, frozen=True):
    """`text` is for config.toml, `secrets` are by the settings' paths, and `drop_ins` are for the unit.

    An empty drop-in isn't needed. `moved` names the settings that other sources than the file had set.
    """

    text: str
    secrets: Mapping[str, str]
    drop_ins: Mapping[str, str]
    moved: list[str]


def check(loaded: settings.Loaded) -> None:
    """Raises ConfigError for what a service can't have."""
    if loaded.config.server.port == 0:
        raise ConfigError(
            ["server.port: 0 is another port at each start. Choose a fixed one for the clients."]
        )
    for path in _TLS:
        value = str(loaded.value(path))
        if value and not value.startswith(_CREDENTIALS) and not Path(value).is_file():
            raise ConfigError([f"{path}: there is no file {value}"])


def make(loaded: settings.Loaded, places: Places) -> ServiceConfig:
    """Raises ConfigError if a setting is written in a way in which it can't be changed."""
    file = loaded.file
    text = file.read_text("utf-8-sig") if file else ""
    moved = list(_changes_of_sources(loaded))
    changes = [*(change for change, _ in moved), *_changes_of_paths(loaded, places)]
    secrets = {}
    if not places.is_user:
        _check_tokens_of_boxes(loaded)
        secrets = {path: value for path in _secret_paths() if (value := str(loaded.value(path)))}
        names = "|".join(path.rpartition(".")[2] for path in _secret_paths())
        text = re.sub(_COMMENTED_OUT.format(names), "", text, flags=re.MULTILINE)
        # Last: a secret of another source was set above, and goes to its own file too.
        changes += [
            Change(path, f"# {path.rpartition('.')[2]} is in {places.secret(path)}")
            for path in _secret_paths()
        ]
        text = text.replace(manual.CONTAINS_KEY, "Its secrets are in files of their own.")
    edited = toml_text.edit(text, changes, str(file))
    drop_ins = {
        DRAIN_DROP_IN: _drain(loaded.config),
        LOG_DROP_IN: _log(loaded.config, places),
        **_certificate(loaded.config, places),
    }
    return ServiceConfig(edited, secrets, drop_ins, [about for _, about in moved])


def _check_tokens_of_boxes(loaded: settings.Loaded) -> None:
    """Raises ConfigError for a token that would stay in a file that every user reads."""
    tokens = [f"{table_of(loaded.config, box)}.api_token" for box in loaded.config.boxes]
    own = [token for token in tokens if (one := loaded.values[token]).value and not one.is_inherited]
    problems = [
        f"{token}: the machine's service has no private file for it. Remove it and set lmstudio.api_token, "
        "which all boxes without one use, or install the service for one user, with --user"
        for token in own
    ]
    if problems:
        raise ConfigError(problems)


def _secret_paths() -> Iterator[str]:
    return (path for path, setting in settings.SETTINGS.items() if setting.secret)


def _changes_of_sources(loaded: settings.Loaded) -> Iterator[tuple[Change, str]]:
    """Yield what .env and the environment set, which the service doesn't read."""
    for path, value in loaded.values.items():
        if value.origin not in {settings.DEFAULT_ORIGIN, str(loaded.file)} and not value.is_inherited:
            yield toml_text.set_to(path, value.setting.literal(value.value)), f"{path} of {value.origin}"


def _changes_of_paths(loaded: settings.Loaded, places: Places) -> Iterator[Change]:
    """Yield absolute paths, because the service starts in another folder."""
    for path in (*_PATHS, *_log_dirs(loaded)):
        value, setting = str(loaded.value(path)), loaded.values[path].setting
        if not value:
            continue
        if not places.is_user and path in _TLS:
            value = f"{_CREDENTIALS}{_TLS[path]}"
        elif not places.is_user and path == "server.state_dir":
            yield Change(path, f"# systemd sets state_dir: {places.state}")
            continue
        yield toml_text.set_to(path, setting.literal(str(Path(value).absolute())))


def _log_dirs(loaded: settings.Loaded) -> Iterator[str]:
    for table in ("lmstudio", *(table_of(loaded.config, box) for box in loaded.config.boxes)):
        if not loaded.values[path := f"{table}.log_dir"].is_inherited:
            yield path


def _drain(config: Config) -> str:
    seconds = config.server.drain_seconds
    if seconds <= _UNIT_DRAIN_SECONDS:
        return ""
    longer = round(seconds) + _MARGIN_SECONDS
    return f"[Service]\n# Longer than server.drain_seconds.\nTimeoutStopSec={longer}\n"


def _log(config: Config, places: Places) -> str:
    """Let the sandbox show LM Studio's log if that is in a home folder. The files' own modes still count."""
    folders = dict.fromkeys(
        Path(studio.log_dir).absolute() for studio in config.studios.values() if studio.log_dir
    )
    hidden = [folder for folder in folders if any(folder.is_relative_to(closed) for closed in places.closed)]
    if not hidden:
        return ""
    lines = "".join(f"BindReadOnlyPaths=-{_escaped(folder)}\n" for folder in hidden)
    return f"[Service]\n# lmstudio.log_dir\nProtectHome=tmpfs\n{lines}"


def _certificate(config: Config, places: Places) -> dict[str, str]:
    """Return the drop-in by which systemd reads the certificate; {} if it is to stay as it is."""
    files = {name: getattr(config.server, path.rpartition(".")[2]) for path, name in _TLS.items()}
    if places.is_user or any(file.startswith(_CREDENTIALS) for file in files.values()):
        return {}
    if not config.server.tls_cert:
        return {CERTIFICATE_DROP_IN: ""}
    lines = [f"LoadCredential={name}:{_escaped(Path(file).absolute())}" for name, file in files.items()]
    text = "\n".join(["[Service]", "# systemd reads these as root, at each start.", *lines, ""])
    return {CERTIFICATE_DROP_IN: text}


def _escaped(path: Path) -> str:
    """Return the path for a unit, in which % begins a specifier."""
    return str(path).replace("%", "%%")
