"""`lmgateway init`: writes a configuration for this machine, and shows how clients connect."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from .. import settings
from ..access.secrets import make_key
from ..config import ONLY_BOX
from ..errors import ConfigError
from ..settings import destinations, files
from . import discovery, first_steps, machine, manual, private_file, sign_in_code
from .advice import MAKE_A_TOKEN
from .options import command_line, warn_of_sources
from .output import say, say_lines
from .urls import lan_urls, own_url

_KEPT = "Its key is kept, so clients need no change. --new-key replaces it too."
_REPLACED = "Its key, if it had one, isn't in the new file: give clients the one below."


def init(options: argparse.Namespace) -> int:
    """Raises ConfigError, private_file.CannotWrite."""
    # Read first, because the environment and the command line override the file.
    given = settings.load(file=Path(os.devnull), environ=os.environ, command_line=command_line(options))
    warn_of_sources(given)
    destinations.check_lm_studios(given)
    if given.config.server.port == 0:
        raise ConfigError(
            ["server.port: 0 is another port at each start. Choose a fixed one for the clients."]
        )
    named = os.environ.get(files.CONFIG_PATH_VARIABLE)
    path = options.output or (Path(named) if named else files.DEFAULT_PATHS[0])
    private_file.check(path, replace=options.force)

    found = asyncio.run(_find_lm_studios(given))
    interfaces = machine.interfaces()
    networks = interfaces.lan
    kept = "" if options.new_key else _key_in(path)
    values = _values(given, found, networks, kept or make_key())
    literals = {setting: given.values[setting].setting.literal(value) for setting, value in values.items()}
    backup = private_file.write(path, manual.fill(manual.read(), literals), replace=options.force)
    # On Windows the folder's permissions decide who can read the file.
    say(f"Wrote {path}{', which only you can read' if os.name == 'posix' else ''}.")
    if backup is not None:
        say(f"Saved the previous file as {backup}.")
        is_kept = bool(kept) and values.get("auth.api_key") == kept
        say(_KEPT if is_kept else _REPLACED)
    loaded = settings.load(file=path, environ=os.environ)
    say_lines(first_steps.describe(loaded, found.searches, interfaces, path=path))
    if options.qr:
        say()
        url = next(iter(lan_urls(loaded.config, interfaces.lan)), own_url(loaded.config))
        sign_in_code.show(url, loaded.config.auth.api_key)
    return 0


def _key_in(path: Path) -> str:
    """Return the key in the file that is replaced, or "" if there is none, or the file isn't TOML."""
    try:
        match tomllib.loads(path.read_text(encoding="utf-8")):
            case {"auth": {"api_key": str(key)}}:
                return key
    except (OSError, ValueError):
        return ""  # there is none yet, or it is replaced because it is broken
    return ""


class _Found(Struct, frozen=True):
    """The results by the names of the boxes. `token` is the only box's, as given or as typed."""

    searches: Mapping[str, discovery.SearchResult]
    token: str = ""


async def _find_lm_studios(given: settings.Loaded) -> _Found:
    boxes = given.config.boxes
    if not boxes:
        search, token = await _find_lm_studio(given)
        return _Found({ONLY_BOX: search}, token)
    results = await asyncio.gather(
        *(discovery.search_at(studio.base_url, studio.api_token) for studio in boxes.values())
    )
    return _Found(dict(zip(boxes, results, strict=True)))


async def _find_lm_studio(given: settings.Loaded) -> tuple[discovery.SearchResult, str]:
    """Return the search's result and the API token, for which it asks on a terminal if one is required."""
    lmstudio = given.config.lmstudio
    token = lmstudio.api_token
    if given.origins["lmstudio.base_url"] == settings.DEFAULT_ORIGIN:
        search = await discovery.search(token)
    else:
        search = await discovery.search_at(lmstudio.base_url, token)
    while search.server is not None and search.server.refused and sys.stdin.isatty():
        say(f"LM Studio at {search.server.base_url} requires an API token. {MAKE_A_TOKEN}.")
        token = getpass.getpass("API token (not shown; leave it empty to set it later): ").strip()
        if not token:
            break
        search = await discovery.search_at(search.server.base_url, token)
    return search, token


def _values(
    given: settings.Loaded,
    found: _Found,
    networks: list[machine.LanAddress],
    key: str,
) -> dict[str, object]:
    """Return the settings to write: the options' and, unless the environment sets them, the detected ones."""
    host = machine.host_for(networks, ipv6=machine.has_ipv6())
    allowlist = [*machine.LOOPBACK, *(str(one.network) for one in networks if one.is_private)]
    if host == machine.ANY:
        allowlist.append(machine.LINK_LOCAL_V6)
    detected: dict[str, object] = {
        "server.host": host,
        "auth.api_key": key,
        "network.ip_allowlist": list(dict.fromkeys(allowlist)),
    }
    search = found.searches.get(ONLY_BOX)
    if search is not None and search.server is not None and not given.config.boxes:
        detected["lmstudio.base_url"] = str(search.server.base_url)
    if found.token:
        detected["lmstudio.api_token"] = found.token
    values: dict[str, object] = {}
    for path, origin in given.origins.items():
        if given.values[path].is_inherited:
            continue
        if origin == settings.COMMAND_LINE_ORIGIN:
            values[path] = given.value(path)
        elif origin == settings.DEFAULT_ORIGIN and path in detected:
            values[path] = detected[path]
    return values
