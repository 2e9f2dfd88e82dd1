"""The scope that each path needs, and the shape of its errors. Looked up before the handler runs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Literal

from aiohttp import web
from aiohttp.web import AbstractRoute
from msgspec import Struct

from ...caching import cached_for_short
from ...errors import GatewayError
from ...schema.keys import Scope
from ...traffic import target

ApiStyle = Literal["own", "openai", "anthropic"]
# In addition to the scopes: `open` needs no key, `any` a key with any scopes, and `health` is like `any` if
# auth.require_for_health is set, else like `open`.
Need = Scope | Literal["open", "health", "any"]


class Area(Struct, frozen=True, kw_only=True, dict=True):
    """The access rules and error shapes that several paths share.

    `styles` are the APIs whose clients use these paths, which determine the shape of errors.
    """

    scope: Need
    styles: tuple[ApiStyle, ...] = ("own",)

    def is_open(self, *, health_is_open: bool) -> bool:
        """True if no key is needed."""
        return self.scope == "open" or (self.scope == "health" and health_is_open)

    @cached_property
    def is_for_pages(self) -> bool:
        """True if cors.origins may allow every origin: LM Studio's paths, except those that change models."""
        return self.scope in {"inference", "tools"} and self.styles != ("own",)

    @cached_property
    def is_proxied(self) -> bool:
        """True for LM Studio's paths, whose errors have the shapes of its APIs."""
        return self.styles[0] != "own"

    @cached_property
    def is_closed_to_pages(self) -> bool:
        """True if a page of another origin may not send any request, not even one that needs no preflight."""
        return not self.is_for_pages and self.scope not in {"open", "health"}

    def error_style(self, headers: Mapping[str, str]) -> ApiStyle:
        """Return the shape of an error. On a path that two APIs share, it depends on `anthropic-version`."""
        if len(self.styles) > 1 and "anthropic-version" in headers:
            return "anthropic"
        return self.styles[0]


# A path that doesn't exist. It needs a key, so that a client without one can't learn which paths exist.
UNKNOWN = Area(scope="any")
_STUDIO = Area(scope="inference", styles=("openai",))
# The first match counts. Requests below the paths of the first are treated as changes of the machine,
# whatever their method and however the last segment continues.
_STUDIO_AREAS = (
    (r"/api/v1/models/(load|unload|download)", Area(scope="models", styles=("openai",))),
    (r"(/v1)?/messages(/|\Z)", Area(scope="inference", styles=("anthropic",))),
    (r"(/v1)?/models(/|\Z)", Area(scope="inference", styles=("openai", "anthropic"))),
)


@cached_for_short
def studio_area(raw: str) -> Area:
    """Return the area of a request target below LM Studio's prefixes, by any path it may be decoded to."""
    try:
        path = target.parse(raw).path
    except GatewayError:  # its handler raises the same, but only after the key was checked
        path = raw.lower()
    return next((area for pattern, area in _STUDIO_AREAS if re.match(pattern, path)), _STUDIO)


class Areas:
    """Maps the route that the router chose to the area."""

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
