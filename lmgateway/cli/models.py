"""The commands that list, load and activate the models of a running gateway."""

from __future__ import annotations

import argparse
import asyncio
import shlex
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..settings import destinations
from .assignments import assigned_values
from .failures import EX_NOPERM, EX_USAGE, RequestFailed
from .gateway_client import GatewayClient, gateway_client
from .model_tables import overview
from .options import load_settings
from .output import say, say_answer
from .progress import Progress
from .refreshing import show
from .urls import own_url
from .wording import in_options

Ask = Callable[[GatewayClient], Awaitable[int]]


def listing(options: argparse.Namespace) -> int:
    if options.json and options.watch:
        raise RequestFailed("Choose one of --json and --watch", EX_USAGE)

    async def ask(gateway: GatewayClient) -> int:
        if options.json:
            return say_answer(await gateway.request("GET", "/admin/models"))

        async def lines() -> Iterable[str]:
            models = await gateway.request("GET", "/admin/models")
            active = await gateway.request("GET", "/admin/models/active")
            return overview(models, active, await _swap(gateway))

        return await show(lines, interval=options.interval if options.watch else None)

    return ask_gateway(options, ask)


async def _swap(gateway: GatewayClient) -> Any:
    """Return the swap in progress, None if there is none, or if the key mayn't see it (scope `observe`)."""
    try:
        return (await gateway.request("GET", "/debug/queue"))["swap"]
    except RequestFailed as exc:
        if exc.exit_status != EX_NOPERM:
            raise
        return None


def load(options: argparse.Namespace) -> int:
    body = body_of(
        options,
        loadConfig=assigned_values("--with", options.settings),
        ttlSeconds=options.ttl,
        defaultInference=assigned_values("--default", options.defaults),
        activate=not options.no_activate,
        another=options.another or None,
        box=options.box,
    )

    async def ask(gateway: GatewayClient) -> int:
        progress = Progress(gateway, options.model, options.id, options.box)
        try:
            async with progress.shown():
                answer = await gateway.request("POST", "/admin/models/load", body)
        except RequestFailed as exc:
            given = {
                "loadConfig": ("--with", options.settings),
                "defaultInference": ("--default", options.defaults),
            }
            raise in_options(exc, given) from exc
        except asyncio.CancelledError:
            # Ctrl-C
            say(f"LM Studio continues loading. To cancel, run `{_command_to_cancel(options)}`.", error=True)
            raise
        for ignored in answer["ignored"]:
            say(
                f"Ignored {ignored.removeprefix('loadConfig.')}: not a load setting of LM Studio.", error=True
            )
        for warning in answer["warnings"]:
            say(f"Warning: {warning}", error=True)
        if options.json:
            return say_answer(answer)
        # The message ends with the warnings, which stderr has already.
        say(answer["message"].removesuffix(" ".join(["", *answer["warnings"]])))
        return 0

    return ask_gateway(options, ask)


def cancel(options: argparse.Namespace) -> int:
    return _post(options, "/admin/models/load/cancel", box=options.box)


def activate(options: argparse.Namespace) -> int:
    default = assigned_values("--default", options.defaults)
    force = options.force or None
    return _post(options, "/admin/models/activate", type=options.type, defaultInference=default, force=force)


def _post(options: argparse.Namespace, path: str, **fields: object) -> int:
    body = body_of(options, **fields)

    async def ask(gateway: GatewayClient) -> int:
        return say_message(options, await gateway.request("POST", path, body))

    return ask_gateway(options, ask)


def deactivate(options: argparse.Namespace) -> int:
    async def ask(gateway: GatewayClient) -> int:
        body = {} if options.type is None else {"type": options.type}
        active = await gateway.request("POST", "/admin/models/deactivate", body)
        if options.json:
            return say_answer(active)
        kind = "embedding model" if options.type == "embedding" else "model"
        say(f"No {kind} is active now: requests must name one.")
        return 0

    return ask_gateway(options, ask)


class Access(NamedTuple):
    """The arguments of `gateway_client`."""

    url: str
    key: str
    certificate: str
    authorities: Path | None


def access_of(options: argparse.Namespace) -> Access:
    """Return the access to the gateway at --url, by default to the one configured on this machine.

    Raises ConfigError, also if the key mustn't be sent there.
    """
    loaded = load_settings(options)
    config, is_own = loaded.config, options.url is None
    if is_own:
        destinations.check_gateway(loaded, options.key)
    return Access(
        url=own_url(config) if is_own else options.url,
        key=options.key or config.auth.api_key,
        certificate=config.server.tls_cert if is_own else "",
        authorities=options.ca,
    )


def ask_gateway(options: argparse.Namespace, ask: Ask) -> int:
    """Run `ask` with a client of the gateway. Raises as access_of."""
    return ask_at(access_of(options), ask)


def ask_at(access: Access, ask: Ask) -> int:
    async def run() -> int:
        url, key, certificate, authorities = access
        async with gateway_client(url, key, certificate, authorities=authorities) as gateway:
            return await ask(gateway)

    return asyncio.run(run())


def _command_to_cancel(options: argparse.Namespace) -> str:
    # Without the key, which would end up in the terminal's scrollback and the shell's history.
    named = {"--id": options.id, "--box": options.box, "--url": options.url, "--ca": options.ca}
    named |= {"--config": options.config}
    words = [word for name, value in named.items() if value is not None for word in (name, str(value))]
    settings = (f"--set={setting}" for setting in options.set)
    return shlex.join(["lmgateway", "cancel", options.model, *words, *settings])


def body_of(options: argparse.Namespace, **fields: object) -> dict[str, object]:
    named = {"modelKey": options.model, "instanceId": options.id, **fields}
    return {name: value for name, value in named.items() if value is not None and value != {}}


def say_message(options: argparse.Namespace, answer: dict[str, Any]) -> int:
    if options.json:
        return say_answer(answer)
    say(answer["message"])
    return 0
