"""Whether LM Studio answers, over HTTP and to its SDK, and lets the gateway in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from ...boxes.sdk.calls import SdkCalls
from ...config import LMStudio
from ...errors import GatewayError
from ...settings import paths
from .. import discovery
from ..advice import MAKE_A_TOKEN, START_LM_STUDIO, where_it_may_be
from . import clock
from .findings import Finding

_CHECK = "LM Studio"
SECONDS = 5.0


async def examine(config: LMStudio, profiles: Iterable[str] = ()) -> list[Finding]:
    """Ask LM Studio as the gateway would, and whether it has the models that there are profiles of."""
    seen = await discovery.look(config.base_url, config.api_token, seconds=SECONDS)
    if seen.kind == "nothing":
        return [_absent(config, await discovery.search(config.api_token))]
    if seen.kind == "no_tls":
        message = f"What listens at {config.base_url} speaks no TLS."
        return [Finding.problem(_CHECK, message, "Write http:// in lmstudio.base_url.")]
    if seen.kind == "other" and await discovery.is_gateway(config.base_url):
        message = f"What answers at {config.base_url} is an lmgateway, not LM Studio."
        return [Finding.problem(_CHECK, message, "Set lmstudio.base_url to LM Studio's own address.")]
    if seen.kind == "other":
        return [
            Finding.warning(
                _CHECK,
                f"What answers at {config.base_url} doesn't say that it is LM Studio.",
                "Check lmstudio.base_url. If a proxy there hides /lmstudio-greeting, only requests pass.",
            )
        ]
    if seen.refused:
        wants = "another API token than lmstudio.api_token" if config.api_token else "an API token"
        remedy = f"{MAKE_A_TOKEN}. Set it as lmstudio.api_token (LMSTUDIO_API_TOKEN)."
        return [Finding.problem(_CHECK, f"LM Studio at {config.base_url} wants {wants}.", remedy)]
    return [
        await _management(config, seen),
        *_profiles(profiles, [model.id for model in seen.models]),
        *clock.compare("LM Studio", seen.date),
    ]


def _absent(config: LMStudio, search: discovery.Search) -> Finding:
    message = f"Nothing answers at {config.base_url}."
    if search.found is not None:
        return Finding.problem(
            _CHECK, f"{message} LM Studio is at {search.found.base_url}.", "Set lmstudio.base_url to that."
        )
    if search.runs_without_server:
        return Finding.problem(_CHECK, f"{message} LM Studio runs, but its server doesn't.", START_LM_STUDIO)
    advice = (START_LM_STUDIO, "If it runs on another machine, check lmstudio.base_url.", *where_it_may_be())
    return Finding.problem(_CHECK, message, "\n".join(advice))


def _profiles(profiles: Iterable[str], models: Sequence[str]) -> Iterator[Finding]:
    if not models:  # it didn't say
        return
    for name in profiles:
        if name not in models:
            near = get_close_matches(name, models, cutoff=0.4)
            remedy = f"The nearest: {', '.join(near)}." if near else "`lmgateway models` shows their names."
            message = f"{paths.write(('models', name))} is a profile of a model that LM Studio doesn't have."
            yield Finding.note(_CHECK, message, remedy)


async def _management(config: LMStudio, seen: discovery.Seen) -> Finding:
    calls = SdkCalls(config)
    try:
        version = await calls.version()
    except GatewayError as exc:
        message = f"LM Studio answers at {config.base_url}, but its models can't be managed. {exc.message}"
        return Finding.warning(_CHECK, message, "The proxy works all the same.")
    finally:
        await calls.close()
    name = "LM Studio" if version is None else f"LM Studio {version}"
    return Finding.ok(_CHECK, f"{name} is at {config.base_url}{seen.about_models}.")
