"""Checks that LM Studio answers over HTTP and to its SDK, and accepts the gateway's token."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from msgspec import Struct
from yarl import URL

from ...boxes import known_faults
from ...boxes.sdk.calls import SdkCalls
from ...boxes.sdk.links import SdkLinks
from ...config import ONLY_BOX, LMStudio
from ...errors import GatewayError
from ...settings.destinations import is_this_machine
from .. import discovery
from ..advice import MAKE_A_TOKEN, START_LM_STUDIO, address_hints
from . import clock, waking
from .findings import Finding

CHECK = "LM Studio"
SECONDS = 5.0


class Examination(Struct, frozen=True):
    """The findings, and the keys of the models on disk: none if they are unknown."""

    findings: Sequence[Finding]
    models: Sequence[str] = ()


async def examine(
    config: LMStudio, table: str = ONLY_BOX, addresses: Collection[URL] = (), *, is_needed: bool = True
) -> Examination:
    """Connect to LM Studio as the gateway does. `table` has its settings, `addresses` are those of all boxes.

    One that doesn't answer is no problem if it isn't needed yet.
    """
    result = await discovery.probe(config.base_url, config.api_token, seconds=SECONDS)
    if result.kind == "nothing":
        if config.wake_mac and not result.is_machine_up:
            return Examination([waking.asleep(config, CHECK, table)])
        search = await _search(config, table)
        if search.server is None or search.server.base_url != config.base_url:
            absent = _absent(config, table, search, addresses)
            return Examination([absent if is_needed else _not_needed(absent)])
        # It was started meanwhile.
        result = await discovery.probe(config.base_url, config.api_token, seconds=SECONDS)
    if (mistake := await _mistake(config, table, result)) is not None:
        return Examination([mistake])
    findings = [*await _management(config, result), *clock.compare(CHECK, result.date)]
    return Examination(findings, [model.id for model in result.models])


async def _mistake(config: LMStudio, table: str, result: discovery.ProbeResult) -> Finding | None:
    """Return what is wrong with the server that answers; None if it is LM Studio and takes the token."""
    if result.kind == "no_tls":
        message = f"The server at {config.base_url} doesn't use TLS."
        return Finding.problem(CHECK, message, f"Write http:// in {table}.base_url.")
    if result.kind == "other" and await discovery.is_gateway(config.base_url):
        message = f"The server at {config.base_url} is an lmgateway, not LM Studio."
        return Finding.problem(CHECK, message, f"Set {table}.base_url to LM Studio's own address.")
    if result.kind == "other":
        return Finding.warning(
            CHECK,
            f"The server at {config.base_url} doesn't identify itself as LM Studio.",
            f"Check {table}.base_url. Behind a proxy without /lmstudio-greeting, only requests work.",
        )
    if result.refused:
        state = f"rejects {table}.api_token" if config.api_token else "requires an API token"
        variable = " (LMSTUDIO_API_TOKEN)" if table == ONLY_BOX else ""
        remedy = f"{MAKE_A_TOKEN}. Set it as {table}.api_token{variable}."
        return Finding.problem(CHECK, f"LM Studio at {config.base_url} {state}.", remedy)
    return None


async def _search(config: LMStudio, table: str) -> discovery.SearchResult:
    """Look for LM Studio on this machine, unless the box is known to be another one."""
    if table != ONLY_BOX and not is_this_machine(config.base_url.raw_host or ""):
        return discovery.SearchResult(None)
    return await discovery.search(config.api_token)


def _absent(
    config: LMStudio, table: str, search: discovery.SearchResult, addresses: Collection[URL]
) -> Finding:
    message, base_url = f"Nothing answers at {config.base_url}.", f"{table}.base_url"
    if search.server is not None and search.server.base_url not in addresses:
        return Finding.problem(
            CHECK,
            f"{message} LM Studio is at {search.server.base_url}.",
            f"Set {base_url} to that address.",
        )
    if search.runs_without_server:
        return Finding.problem(
            CHECK, f"{message} LM Studio is running, but its server is stopped.", START_LM_STUDIO
        )
    advice = (START_LM_STUDIO, f"If it runs on another machine, check {base_url}.", *address_hints(base_url))
    return Finding.problem(CHECK, message, "\n".join(advice))


def _not_needed(absent: Finding) -> Finding:
    message = f"{absent.message} The demo needs none; `lmgateway serve` does."
    return Finding.note(absent.check, message, absent.remedy)


async def _management(config: LMStudio, result: discovery.ProbeResult) -> list[Finding]:
    """Ask LM Studio over its SDK for its version and for what is loaded."""
    links = SdkLinks(config)
    try:
        version = await SdkCalls(config, links).version()
        instances = await SdkCalls(config, links).loaded()
    except GatewayError as exc:
        message = f"LM Studio answers at {config.base_url}, but its models can't be managed. {exc.message}"
        return [Finding.warning(CHECK, message, "Requests to LM Studio still work.")]
    finally:
        await links.close()
    name = "LM Studio" if version is None else f"LM Studio {version}"
    faults = (*known_faults.of_version(version), *known_faults.of_instances(instances))
    return [
        Finding.ok(CHECK, f"{name} is at {config.base_url}{result.about_models}."),
        *(Finding.warning(CHECK, fault.message, fault.remedy) for fault in faults),
    ]
