"""What each path needs and how its errors look, found for every request before its handler runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from aiohttp import web
from aiohttp.web import AbstractRoute
from msgspec import Struct

from ...access.callers import Scope
from ...caching import cached_for_short
from ...errors import GatewayError
from ...traffic import target

ApiStyle = Literal["own", "openai", "anthropic"]
# Beside the scopes: `open` needs no key, `any` a key with whatever scopes, and `health` is the one or the
# other, as auth.require_for_health says.
Need = Scope | Literal["open", "health", "any"]


class Area(Struct, frozen=True, kw_only=True, dict=True):
    """What holds for some paths. `styles` are whose clients ask there, and so how an error must look."""

    scope: Need
    styles: tuple[ApiStyle, ...] = ("own",)

    def is_open(self, *, health_is_open: bool) -> bool:
        """True if no key is needed."""
        return self.scope == "open" or (self.scope == "health" and health_is_open)

    @cached_property
    def is_for_pages(self) -> bool:
        """True if pages of every origin may be let in: to LM Studio, and nothing that changes the machine."""
        return self.scope in {"inference", "tools"}

    @cached_property
    def is_closed_to_pages(self) -> bool:
        """True if a page of another origin may not even send a request, though it can't read the answer."""
        return not self.is_for_pages and self.scope not in {"open", "health"}

    def error_style(self, headers: Mapping[str, str]) -> ApiStyle:
        """Return the shape of an error; on a path that two APIs share, the header says which client asks."""
        if len(self.styles) > 1 and "anthropic-version" in headers:
            return "anthropic"
        return self.styles[0]


# Of a path that doesn't exist. It needs a key too, so that nobody without one can find out which do exist.
UNKNOWN = Area(scope="any")
_STUDIO = Area(scope="inference", styles=("openai",))
# The first that fits counts. On the paths of the first every method and every longer word is taken to change
# the machine, whatever LM Studio makes of it.
_STUDIO_AREAS = (
    (r"/api/v1/models/(load|unload|download)", Area(scope="models", styles=("openai",))),
    (r"(/v1)?/messages(/|\Z)", Area(scope="inference", styles=("anthropic",))),
    (r"(/v1)?/models(/|\Z)", Area(scope="inference", styles=("openai", "anthropic"))),
)


@cached_for_short
def studio_area(raw: str) -> Area:
    """Return the area of a request target below LM Studio's prefixes, by what LM Studio could take it for."""
    try:
        path = target.parse(raw).path
    except GatewayError:  # its handler raises the same, to a caller with a key
        path = raw.lower()
    return next((area for pattern, area in _STUDIO_AREAS if re.match(pattern, path)), _STUDIO)


class Areas:
    """Finds the area of a request by the route that the router chose."""

    def __init__(self) -> None:
        self._of_routes: dict[AbstractRoute, Area] = {}

    def add(self, route: AbstractRoute, area: Area) -> None:
        self._of_routes[route] = area

    def of(self, request: web.Request) -> Area:
        match = request.match_info
        area = self._of_routes.get(match.route)
        if area is not None:
            return area
        if match.http_exception is None:
            return studio_area(request.raw_path)
        if isinstance(match.http_exception, web.HTTPMethodNotAllowed):
            return self._of_path(request.path)
        return UNKNOWN

    def _of_path(self, path: str) -> Area:
        """Return the area of another method of this path."""
        for route, area in self._of_routes.items():
            info = route.get_info()
            if info.get("path") == path or ("pattern" in info and info["pattern"].fullmatch(path)):
                return area
        return UNKNOWN
