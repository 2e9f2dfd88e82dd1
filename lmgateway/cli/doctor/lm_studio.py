"""Checks that LM Studio answers over HTTP and to its SDK, and accepts the gateway's token."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from ...boxes import known_faults
from ...boxes.sdk.calls import SdkCalls
from ...boxes.sdk.links import SdkLinks
from ...config import LMStudio
from ...errors import GatewayError
from ...settings import paths
from .. import discovery
from ..advice import MAKE_A_TOKEN, START_LM_STUDIO, address_hints
from . import clock
from .findings import Finding

_CHECK = "LM Studio"
SECONDS = 5.0


async def examine(config: LMStudio, profiles: Iterable[str] = (), *, is_needed: bool = True) -> list[Finding]:
    """Connect to LM Studio as the gateway does, and check that it has each profile's model.

    One that doesn't answer is no problem if it isn't needed yet.
    """
    result = await discovery.probe(config.base_url, config.api_token, seconds=SECONDS)
    if result.kind == "nothing":
        search = await discovery.search(config.api_token)
        if search.server is None or search.server.base_url != config.base_url:
            absent = _absent(config, search)
            return [absent if is_needed else _not_needed(absent)]
        # It was started meanwhile.
        result = await discovery.probe(config.base_url, config.api_token, seconds=SECONDS)
    if result.kind == "no_tls":
        message = f"The server at {config.base_url} doesn't use TLS."
        return [Finding.problem(_CHECK, message, "Write http:// in lmstudio.base_url.")]
    if result.kind == "other" and await discovery.is_gateway(config.base_url):
        message = f"The server at {config.base_url} is an lmgateway, not LM Studio."
        return [Finding.problem(_CHECK, message, "Set lmstudio.base_url to LM Studio's own address.")]
    if result.kind == "other":
        return [
            Finding.warning(
                _CHECK,
                f"The server at {config.base_url} doesn't identify itself as LM Studio.",
                "Check lmstudio.base_url. Behind a proxy without /lmstudio-greeting, only requests work.",
            )
        ]
    if result.refused:
        state = "rejects lmstudio.api_token" if config.api_token else "requires an API token"
        remedy = f"{MAKE_A_TOKEN}. Set it as lmstudio.api_token (LMSTUDIO_API_TOKEN)."
        return [Finding.problem(_CHECK, f"LM Studio at {config.base_url} {state}.", remedy)]
    return [
        *await _management(config, result),
        *_profiles(profiles, [model.id for model in result.models]),
        *clock.compare("LM Studio", result.date),
    ]


def _absent(config: LMStudio, search: discovery.SearchResult) -> Finding:
    message = f"Nothing answers at {config.base_url}."
    if search.server is not None:
        return Finding.problem(
            _CHECK,
            f"{message} LM Studio is at {search.server.base_url}.",
            "Set lmstudio.base_url to that address.",
        )
    if search.runs_without_server:
        return Finding.problem(
            _CHECK, f"{message} LM Studio is running, but its server is stopped.", START_LM_STUDIO
        )
    advice = (START_LM_STUDIO, "If it runs on another machine, check lmstudio.base_url.", *address_hints())
    return Finding.problem(_CHECK, message, "\n".join(advice))


def _not_needed(absent: Finding) -> Finding:
    message = f"{absent.message} The demo needs none; `lmgateway serve` does."
    return Finding.note(absent.check, message, absent.remedy)


def _profiles(profiles: Iterable[str], models: Sequence[str]) -> Iterator[Finding]:
    if not models:  # unknown
        return
    for name in profiles:
        if name not in models:
            near = get_close_matches(name, models, cutoff=0.4)
            remedy = f"Similar names: {', '.join(near)}." if near else "`lmgateway models` shows the names."
            message = f"{paths.write(('models', name))} is a profile for a model that LM Studio doesn't have."
            yield Finding.note(_CHECK, message, remedy)


async def _management(config: LMStudio, result: discovery.ProbeResult) -> list[Finding]:
    """Ask LM Studio over its SDK for its version and for what is loaded."""
    links = SdkLinks(config)
    try:
        version = await SdkCalls(config, links).version()
        instances = await SdkCalls(config, links).loaded()
    except GatewayError as exc:
        message = f"LM Studio answers at {config.base_url}, but its models can't be managed. {exc.message}"
        return [Finding.warning(_CHECK, message, "Requests to LM Studio still work.")]
    finally:
        await links.close()
    name = "LM Studio" if version is None else f"LM Studio {version}"
    faults = (*known_faults.of_version(version), *known_faults.of_instances(instances))
    return [
        Finding.ok(_CHECK, f"{name} is at {config.base_url}{result.about_models}."),
        *(Finding.warning(_CHECK, fault.message, fault.remedy) for fault in faults),
    ]
