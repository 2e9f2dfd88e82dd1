"""`lmgateway init`: finds out what there is to know, writes a configuration, and says how to go on."""

from __future__ import annotations

import argparse
import asyncio
import getpass
import os
import secrets
import sys
from pathlib import Path

from .. import settings
from ..errors import ConfigError
from ..settings import files
from . import discovery, first_steps, machine, manual, private_file
from .advice import MAKE_A_TOKEN
from .options import command_line

# The prefix keeps a key from looking like an option, and tells whoever finds one what it opens.
KEY_PREFIX = "lmg-"
KEY_BYTES = 32


def init(options: argparse.Namespace) -> int:
    """Raises ConfigError, private_file.CannotWrite."""
    # What the environment and the command line set counts whatever the file says, so it is asked first.
    given = settings.load(file=Path(os.devnull), environ=os.environ, command_line=command_line(options))
    if given.config.server.port == 0:
        raise ConfigError(["server.port: 0 is another port at each start, and clients need one that stays"])
    named = os.environ.get(files.CONFIG_PATH_VARIABLE)
    path = options.output or (Path(named) if named else files.DEFAULT_PATHS[0])
    private_file.check(path, replace=options.force)

    search, token = asyncio.run(_look_for_lm_studio(given))
    interfaces = machine.interfaces()
    networks = interfaces.lan
    values = _values(given, search, token, networks)
    literals = {setting: given.values[setting].setting.literal(value) for setting, value in values.items()}
    kept = private_file.write(path, manual.fill(manual.read(), literals), replace=options.force)
    # Elsewhere the folder decides who may read it.
    print(f"{path} is written{'; only you can read it' if os.name == 'posix' else ''}.")
    if kept is not None:
        print(f"What was there is now {kept}. Its key opens nothing once the gateway has read the new file.")
    loaded = settings.load(file=path, environ=os.environ)
    print(first_steps.describe(loaded, search, interfaces, path=path))
    return 0


async def _look_for_lm_studio(given: settings.Loaded) -> tuple[discovery.Search, str]:
    """Return what was found and the API token for it; where one is needed, whoever sits there is asked."""
    lmstudio = given.config.lmstudio
    token = lmstudio.api_token
    if given.origins["lmstudio.base_url"] == settings.DEFAULT_ORIGIN:
        search = await discovery.search(token)
    else:
        search = await discovery.search_at(lmstudio.base_url, token)
    while search.found is not None and search.found.refused and sys.stdin.isatty():
        print(f"LM Studio at {search.found.base_url} asks for an API token. {MAKE_A_TOKEN}.")
        token = getpass.getpass("The token (it isn't shown; empty: set it later): ").strip()
        if not token:
            break
        search = await discovery.search_at(search.found.base_url, token)
    return search, token


def _values(
    given: settings.Loaded, search: discovery.Search, token: str, networks: list[machine.LanAddress]
) -> dict[str, object]:
    """Return what the file is to set: what was found out, unless it is set elsewhere; and the options."""
    host = machine.host_for(networks, ipv6=machine.has_ipv6())
    allowlist = [*machine.LOOPBACK, *(str(one.network) for one in networks if one.is_private)]
    if host == machine.ANY:
        allowlist.append(machine.LINK_LOCAL_V6)
    found: dict[str, object] = {
        "server.host": host,
        "auth.api_key": KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES),
        "network.ip_allowlist": list(dict.fromkeys(allowlist)),
    }
    if search.found is not None:
        found["lmstudio.base_url"] = str(search.found.base_url)
    if token:
        found["lmstudio.api_token"] = token
    values: dict[str, object] = {}
    for path, origin in given.origins.items():
        if origin == settings.COMMAND_LINE_ORIGIN:
            values[path] = given.value(path)
        elif origin == settings.DEFAULT_ORIGIN and path in found:
            values[path] = found[path]
    return values
