"""Runs the checks of LM Studio for each box, and names the box in what they find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import chain

from msgspec import structs

from ... import settings
from ...config import LMStudio
from ...settings import destinations, paths
from ...settings.boxes import table_of
from .. import lm_studio_home
from ..machine import LanAddress
from . import direct_access, lm_studio
from .findings import Finding
from .lm_studio import Examination


async def examine(
    loaded: settings.Loaded, networks: Sequence[LanAddress], *, is_needed: bool = True
) -> list[Finding]:
    """Connect to each box as the gateway does, and check that one has each profile's model.

    A box that doesn't answer is no problem if none is needed yet.
    """
    config, home = loaded.config, lm_studio_home.user_home()
    addresses = {studio.base_url for studio in config.studios.values()}

    async def of(box: str, studio: LMStudio) -> tuple[Examination, list[Finding]]:
        table = table_of(config, box)
        return await asyncio.gather(
            lm_studio.examine(studio, table, addresses, is_needed=is_needed),
            direct_access.examine(studio, networks, home, table=table),
        )

    studios = _with_their_tokens(loaded)
    results = await asyncio.gather(*(of(box, studio) for box, studio in studios.items()))
    found = dict(zip(studios, results, strict=True))
    return [
        *(one.of_box(box, config) for box, (its, _) in found.items() for one in its.findings),
        *missing_models(config.models, [its.models for its, _ in found.values()]),
        *(one.of_box(box, config) for box, (_, access) in found.items() for one in access),
    ]


def missing_models(profiles: Iterable[str], models: Sequence[Sequence[str]]) -> Iterator[Finding]:
    """Report profiles for models that no box has. An empty list of a box's models means unknown."""
    if not all(models):
        return
    known = list(dict.fromkeys(chain.from_iterable(models)))
    whose = "LM Studio doesn't have" if len(models) == 1 else "no box has"
    for name in profiles:
        if name not in known:
            near = get_close_matches(name, known, cutoff=0.4)
            remedy = f"Similar names: {', '.join(near)}." if near else "`lmgateway models` shows the names."
            message = f"{paths.write(('models', name))} is a profile for a model that {whose}."
            yield Finding.note(lm_studio.CHECK, message, remedy)


def _with_their_tokens(loaded: settings.Loaded) -> Mapping[str, LMStudio]:
    """Return the boxes' settings, without a token that mustn't be sent."""
    return {
        box: studio
        if destinations.why_not_to_lm_studio(loaded, box) is None
        else structs.replace(studio, api_token="")
        for box, studio in loaded.config.studios.items()
    }
