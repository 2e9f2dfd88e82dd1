"""What `lmgateway init` says at its end: what it found, where the gateway will be, how clients get in."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path

from .. import settings
from ..config import Config
from ..settings import files
from . import client_snippets, machine
from .advice import MAKE_A_TOKEN, START_LM_STUDIO, where_it_may_be
from .discovery import Search
from .urls import lan_urls, named_url, own_url

MODEL_TO_CHOOSE = "your-model"


def describe(loaded: settings.Loaded, search: Search, interfaces: machine.Interfaces, *, path: Path) -> str:
    """Return the text, with the key in it."""
    urls = lan_urls(loaded.config, interfaces.lan)
    model = search.found.chat_model if search.found else None
    access = client_snippets.Access(
        urls[0] if urls else own_url(loaded.config), loaded.config.auth.api_key, model or MODEL_TO_CHOOSE
    )
    told = (
        *_stronger(loaded, path),
        *_lm_studio(loaded.config, search, path),
        *_admitted(loaded.config, interfaces),
        _addresses(loaded.config, urls),
        "",
        f"Start the gateway with `{_serve(path)}`, and watch it at {access.base_url}/dashboard.",
        "If anything is wrong, `lmgateway doctor` says what.",
        "",
        "Lines for clients, with the key; in PowerShell write $env:NAME = 'value' for export NAME=value.",
        *_about_models(model),
        "",
        client_snippets.all_lines(access),
    )
    return "\n".join(told)


def _stronger(loaded: settings.Loaded, path: Path) -> Iterator[str]:
    for setting, origin in loaded.origins.items():
        if origin not in {settings.DEFAULT_ORIGIN, str(path)}:
            yield f"{setting} is set by {origin}, which is stronger than {path}."


def _lm_studio(config: Config, search: Search, path: Path) -> Iterator[str]:
    found, base_url = search.found, config.lmstudio.base_url
    if found is None:
        runs = "LM Studio runs without its server" if search.runs_without_server else "LM Studio wasn't found"
        yield f"{runs}. {base_url} is taken for its address. {START_LM_STUDIO}"
        yield from where_it_may_be()
    elif found.refused:
        yield (
            f"LM Studio at {base_url} asks for an API token. {MAKE_A_TOKEN}; set lmstudio.api_token to it in "
            f"{path}."
        )
    else:
        yield f"LM Studio is at {base_url}{found.about_models}."


def _admitted(config: Config, interfaces: machine.Interfaces) -> Iterator[str]:
    allowlist = config.network.ip_allowlist
    yield f"Who may come in, with the key: {allowlist or 'everybody'}."
    if allowlist is None:
        return
    for one in interfaces.lan:
        if one.address not in allowlist:
            why = "" if one.is_private else ", which is no private network"
            advice = "If its machines are yours, add it to network.ip_allowlist."
            yield f"Not {one.network} ({one.interface}){why}. {advice}"
    for other in interfaces.others:
        if ip_network(other.network).network_address not in allowlist:
            yield f"Not {other.network} ({other.interface}), which is for {other.kind}. {_add(other)}"


def _add(other: machine.OtherNetwork) -> str:
    if other.kind == "a VPN" and ip_network(other.network).num_addresses == 1:
        return "To let its machines in, add the VPN's network to network.ip_allowlist."
    return f'To let them in, add "{other.network}" to network.ip_allowlist.'


def _addresses(config: Config, urls: Sequence[str]) -> str:
    if not urls:
        return f"The gateway will be at {own_url(config)}, for this machine alone."
    named = named_url(config)
    return f"Other machines will find the gateway at {', '.join([*urls, named] if named else urls)}."


def _serve(path: Path) -> str:
    is_usual = files.find_file(None, os.environ) == path
    return "lmgateway serve" + ("" if is_usual else f" --config {shlex.quote(str(path))}")


def _about_models(model: str | None) -> Iterator[str]:
    if model is None:
        yield f"Put the name of a model, as `lmgateway models` shows it, in the place of {MODEL_TO_CHOOSE}."
    name = shlex.quote(model or MODEL_TO_CHOOSE)
    yield f"Claude Code and Codex need a large context: `lmgateway load {name} --with contextLength=32768`"
    yield f"(after `lmgateway unload {name}`, if it is loaded already)."
