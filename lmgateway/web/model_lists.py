"""LM Studio's lists of models, for callers who may not use all of them."""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web
from msgspec import structs

from ..access.callers import Caller
from ..boxes.listing import Listing
from ..errors import UpstreamBroke
from ..models.aliases import NO_ALIASES
from ..models.names import resolve
from ..observe.exchange import Exchange
from ..traffic.headers import JSON, response_fields
from ..traffic.model_lists import CONDITIONAL, LISTS, OF_THE_WHOLE, filtered
from ..traffic.plan import Incoming
from ..traffic.target import Target, model_in
from .choosing import check_shown
from .delivery import Delivered
from .operations.areas import studio_area
from .ruleset import Ruleset

MAX_LIST_BYTES = 8 * 1024**2
_NO_LIST = (
    "LM Studio's list of models can't be read, so it can't be shown to a key that may not use all of them."
)


async def limit_models(incoming: Incoming, caller: Caller, rules: Ruleset) -> tuple[Incoming, Listing | None]:
    """Return the request, and LM Studio's models if it is for a list of which the caller may not see all.

    Such a request is for the whole list, whatever part of it the client has already. Raises ModelNotAllowed
    and ModelNotFound for a path that names a model, and UpstreamUnavailable.
    """
    if (name := model_in(incoming.target)) is not None and not _changes_models(incoming.target):
        await check_shown(name, caller, rules)
    if incoming.target.path not in LISTS or incoming.method not in {"GET", "HEAD"}:
        return incoming, None
    for field in CONDITIONAL:
        incoming.headers.popall(field, None)
    incoming.headers["Accept-Encoding"] = "identity"
    return structs.replace(incoming, method="GET"), await rules.models.fresh_models()


def _changes_models(target: Target) -> bool:
    return studio_area(target.path).scope == "models"


async def list_response(
    delivered: Delivered, path: str, caller: Caller, listing: Listing, exchange: Exchange
) -> web.Response:
    """Return the list without the models that the caller may not use; an error of LM Studio's as it is.

    Raises UpstreamBroke for anything else, and as UpstreamResponse.read.
    """
    upstream, body = delivered.response, delivered.first
    try:
        while not upstream.has_ended and len(body) <= MAX_LIST_BYTES:
            body += await upstream.read()
    finally:
        upstream.close()
    exchange.answered(upstream.status, stream=False, count=None)
    fields = response_fields(upstream.headers)
    if upstream.status == 200:
        is_whole = delivered.kind.startswith(JSON) and "Content-Encoding" not in fields and upstream.has_ended
        shown = filtered(path, body, allows_by_name(path, caller, listing)) if is_whole else None
        if shown is None:
            raise UpstreamBroke(_NO_LIST)
        body = shown
    for name in OF_THE_WHOLE:
        fields.popall(name, None)
    return web.Response(status=upstream.status, body=body, headers=fields)


def allows_by_name(path: str, caller: Caller, listing: Listing) -> Callable[[str], bool]:
    """Return what tells whether the caller may see an entry of this name in the list of this path."""
    if LISTS[path] == ("models", "key"):
        return caller.models.allow

    def allows(name: str) -> bool:
        found = resolve(name, listing, NO_ALIASES)
        return found is not None and caller.models.allow(found.model.key)

    return allows
