"""Checks that the configuration is valid and its secrets are private."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path

from ... import settings
from ...boxes.origin import Origin
from ...config import Config, LMStudio
from ...errors import ConfigError
from ...server.tls import server_context
from ...settings import destinations, files, ownership
from ...settings.boxes import table_of
from .. import lm_studio_home
from ..demo_key import DEMO_KEY
from .findings import Finding

_CHECK = "configuration"
# Every machine on the network can try keys as fast as the gateway answers.
SHORTEST_KEY = 16
_MAKE_A_KEY = "`lmgateway init` generates one. Set it in the clients too."


def examine(
    loaded: settings.Loaded, *, has_named_keys: bool = False, is_demo: bool = False
) -> Iterator[Finding]:
    """Check the owner's key, LM Studio's log folder, the files' owners and permissions, and the certificate.

    Also report variables that are probably misspelt, values that aren't used, and a secret that isn't sent,
    because a less trusted source names its receiver.
    """
    sources = sorted(set(loaded.origins.values()) - {settings.DEFAULT_ORIGIN})
    origin = f"Settings come from {', '.join(sources)}" if sources else "All settings have their defaults"
    yield Finding.ok(_CHECK, f"{origin}. `lmgateway check` shows every setting.")
    if not (is_demo and loaded.config.auth.api_key == DEMO_KEY):
        yield from _key(loaded.config, has_named_keys=has_named_keys)
    yield from _logs(loaded.config)
    for path in _files_with_secrets(loaded):
        yield from _mode(path)
    for sentence in ownership.foreign_files(loaded):
        yield Finding.warning(
            _CHECK, sentence, "Run lmgateway in a folder of your own, or choose a file with --config."
        )
    for variable in loaded.misspelt:
        yield Finding.warning(_CHECK, str(variable), f"Rename it to {variable.meant}, or remove it.")
    for sentence in loaded.ignored:
        yield Finding.warning(_CHECK, sentence, "Remove it where it is set.")
    for problem in (*destinations.why_not_to_lm_studios(loaded), destinations.why_not_to_gateway(loaded)):
        if problem is not None:
            yield Finding.problem(_CHECK, problem)
    try:
        server_context(loaded.config.server)
    except ConfigError as exc:
        for problem in exc.problems:
            yield Finding.problem(_CHECK, problem)


def _key(config: Config, *, has_named_keys: bool) -> Iterator[Finding]:
    key = config.auth.api_key
    if not key and has_named_keys:
        return
    if config.protected:
        message = "There is no key, and network.ip_allowlist isn't set, so only this machine is served."
        yield Finding.note(_CHECK, message, "`lmgateway init` sets both for this machine.")
    elif not key:
        message = "There is no key, so every client on network.ip_allowlist has all rights."
        remedy = f"{_MAKE_A_KEY}\nOr make a named one: lmgateway keys add NAME --scope admin"
        yield Finding.warning(_CHECK, message, remedy)
    elif len(key) < SHORTEST_KEY:
        message = f"The key (auth.api_key) has only {len(key)} characters, so it can be guessed."
        yield Finding.warning(_CHECK, message, _MAKE_A_KEY)

    if not key.isascii():
        message = (
            "The key (auth.api_key) isn't ASCII, so some clients, such as OpenAI's library, can't send it."
        )
        yield Finding.warning(_CHECK, message, _MAKE_A_KEY)


def _logs(config: Config) -> Iterator[Finding]:
    readers: dict[Path, list[str]] = {}
    for box, studio in config.studios.items():
        if not studio.log_monitoring:
            continue
        for finding in _log(studio, table_of(config, box)):
            yield finding.of_box(box, config)
        if studio.log_dir:
            readers.setdefault(Path(studio.log_dir).absolute(), []).append(box)
    for boxes in readers.values():
        if len(boxes) > 1:
            message = (
                f"The boxes {', '.join(boxes)} have one log_dir, so each shows the others' log as its own."
            )
            remedy = "Set log_dir only in the [boxes.NAME] of the box whose log it is."
            yield Finding.warning(_CHECK, message, remedy)


def _log(lmstudio: LMStudio, table: str) -> Iterator[Finding]:
    folder = lm_studio_home.log_folder(lm_studio_home.user_home())
    where = folder or "LM Studio's folder of server logs, which has a folder for each month"
    remedy = f"Set {table}.log_dir to {where}."
    if not lmstudio.log_dir:
        if Origin.of(lmstudio).sdk_host is None:
            message = "LM Studio's log can't come over its SDK, which needs an http base_url without a path."
            yield Finding.warning(_CHECK, message, remedy)
    elif not os.path.isdir(lmstudio.log_dir):  # noqa: PTH112 - Path.is_dir() may raise PermissionError
        yield Finding.warning(_CHECK, f"{table}.log_dir: {lmstudio.log_dir} isn't a folder.", remedy)


def _files_with_secrets(loaded: settings.Loaded) -> set[Path]:
    """Return the TOML and .env files that set a secret. The service manager protects credentials."""
    origins = {one.origin for one in loaded.values.values() if one.setting.secret and one.value}
    sources = {files.DOTENV_PATH} if loaded.file is None else {files.DOTENV_PATH, loaded.file}
    return {file for file in sources if any(_is_from(origin, file) for origin in origins)}


def _is_from(origin: str, file: Path) -> bool:
    return origin == str(file) or origin.startswith(f"{file} (")


def _mode(path: Path) -> Iterator[Finding]:
    if os.name != "posix":  # on Windows the mode doesn't say who can read the file
        return
    mode = path.stat().st_mode
    remedy = f"chmod 600 {shlex.quote(str(path))}"
    if mode & stat.S_IROTH:
        yield Finding.problem(
            _CHECK, f"Every user of this machine can read {path}, which contains a secret.", remedy
        )
    elif mode & stat.S_IRGRP:
        message = f"A group of this machine's users can read {path}, which contains a secret."
        yield Finding.note(_CHECK, message, remedy)
