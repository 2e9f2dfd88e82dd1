"""The last text of `lmgateway init`: the addresses of LM Studio and the gateway, and how clients connect."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path

from .. import settings
from ..config import ONLY_BOX, Config
from ..settings import files
from ..settings.boxes import table_of
from . import client_snippets, machine
from .advice import MAKE_A_TOKEN, START_LM_STUDIO, address_hints
from .discovery import SearchResult
from .urls import lan_urls, named_url, own_url

MODEL_TO_CHOOSE = "your-model"
_LIMITED_KEY = "keys add chat-app --model 'qwen*' --limit requestsPerMinute=30"


def describe(
    loaded: settings.Loaded,
    searches: Mapping[str, SearchResult],
    interfaces: machine.Interfaces,
    *,
    path: Path,
) -> str:
    """Return the text, which contains the key. `searches` are the LM Studios by the names of their boxes."""
    urls = lan_urls(loaded.config, interfaces.lan)
    found = (search.server.chat_model for search in searches.values() if search.server)
    model = next(filter(None, found), None)
    access = client_snippets.Access(
        urls[0] if urls else own_url(loaded.config), loaded.config.auth.api_key, model or MODEL_TO_CHOOSE
    )
    lines = (
        *_overrides(loaded, path),
        *_lm_studios(loaded.config, searches, path),
        *_allowed_clients(loaded.config, interfaces),
        _addresses(loaded.config, urls),
        "",
        f"Start the gateway with `{_command('serve', path)}`.",
        "If something doesn't work, run `lmgateway doctor`.",
        "",
        *_about_keys(path),
        "",
        "Settings for clients, with a key. In PowerShell, write $env:NAME = 'value' for export NAME=value.",
        *_about_models(model),
        "",
        client_snippets.all_lines(access),
        "",
        "Your key, with which you also sign in to the dashboard:",
        "",
        access.key,
        "",
        f"Dashboard, once the gateway runs: {access.base_url}/dashboard",
    )
    return "\n".join(lines)


def _overrides(loaded: settings.Loaded, path: Path) -> Iterator[str]:
    for setting, value in loaded.values.items():
        if value.origin not in {settings.DEFAULT_ORIGIN, str(path)} and not value.is_inherited:
            yield f"{setting} is set by {value.origin}, which overrides {path}."


def _lm_studios(config: Config, searches: Mapping[str, SearchResult], path: Path) -> Iterator[str]:
    if not config.boxes:
        yield from _lm_studio(config, searches[ONLY_BOX], path)
        return
    for box, studio in config.boxes.items():
        server = searches[box].server
        if server is None:
            yield f"Box {box}: LM Studio doesn't answer at {studio.base_url}. {START_LM_STUDIO}"
        elif server.refused:
            advice = f"{MAKE_A_TOKEN}, and set {table_of(config, box)}.api_token to it in {path}."
            yield f"Box {box}: LM Studio at {studio.base_url} requires an API token. {advice}"
        else:
            yield f"Box {box}: LM Studio is at {studio.base_url}{server.about_models}."


def _lm_studio(config: Config, search: SearchResult, path: Path) -> Iterator[str]:
    server, base_url = search.server, config.lmstudio.base_url
    if server is None:
        runs = search.runs_without_server
        state = "LM Studio is running, but its server is stopped" if runs else "LM Studio doesn't answer"
        yield f"{state}. The gateway will connect to {base_url}. {START_LM_STUDIO}"
        yield f"If it runs on another machine: `{_again(path)} --set lmstudio.base_url=http://ADDRESS:1234`"
        yield from address_hints()
    elif server.refused:
        yield (
            f"LM Studio at {base_url} requires an API token. {MAKE_A_TOKEN}, and set lmstudio.api_token to it"
            f" in {path}."
        )
    else:
        yield f"LM Studio is at {base_url}{server.about_models}."


def _allowed_clients(config: Config, interfaces: machine.Interfaces) -> Iterator[str]:
    allowlist = config.network.ip_allowlist
    yield f"Clients that may connect with a key: {allowlist or 'all'}."
    if allowlist is None:
        return
    for one in interfaces.lan:
        if one.address not in allowlist:
            why = "" if one.is_private else ", which isn't a private network"
            advice = "If its machines are yours, add it to network.ip_allowlist."
            yield f"Not allowed: {one.network} ({one.interface}){why}. {advice}"
    for other in interfaces.others:
        if ip_network(other.network).network_address not in allowlist:
            network = f"{other.network} ({other.interface})"
            yield f"Not allowed: {network}, which is for {other.kind}. {_add(other)}"


def _add(other: machine.OtherNetwork) -> str:
    if other.kind == "a VPN" and ip_network(other.network).num_addresses == 1:
        return "To let its machines in, add the VPN's network to network.ip_allowlist."
    return f'To let them in, add "{other.network}" to network.ip_allowlist.'


def _addresses(config: Config, urls: Sequence[str]) -> str:
    if not urls:
        return f"The gateway will listen at {own_url(config)}, for this machine only."
    named = named_url(config)
    return f"Other machines can connect to the gateway at {', '.join([*urls, named] if named else urls)}."


def _about_keys(path: Path) -> Iterator[str]:
    yield "The key below is yours: it has every right. While the gateway runs, make one for each person"
    yield "and app. Such a key may use the models, and nothing else unless you add --scope:"
    yield f"  {_command('keys add alice', path)}"
    yield f"  {_command(_LIMITED_KEY, path)}"
    yield "Each is printed once. An app takes it as its API key, in place of yours, with the same base URL."


def _command(command: str, path: Path) -> str:
    is_usual = files.find_file(None, os.environ) == path
    return f"lmgateway {command}" + ("" if is_usual else f" --config {shlex.quote(str(path))}")


def _again(path: Path) -> str:
    is_usual = files.find_file(None, os.environ) == path
    return "lmgateway init --force" + ("" if is_usual else f" --output {shlex.quote(str(path))}")


def _about_models(model: str | None) -> Iterator[str]:
    if model is None:
        yield f"Replace {MODEL_TO_CHOOSE} by a model's name, as `lmgateway models` shows it."
    name = shlex.quote(model or MODEL_TO_CHOOSE)
    yield f"Claude Code and Codex need a large context: `lmgateway load {name} --with contextLength=32768`"
    yield f"If the model is loaded already, unload it first: `lmgateway unload {name}`"
