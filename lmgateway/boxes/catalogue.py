"""What an LM Studio has on disk and in memory: a snapshot with its age, refreshed over HTTP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from types import MappingProxyType

from msgspec import structs

from .. import background
from ..errors import GatewayError, UpstreamUnavailable
from ..schema.models import DownloadedModel, LoadedModel
from ..text import clean_name
from .list_bodies import NATIVE_PATH, SERVED_PATH, Bodies, have_changed, parse_lists
from .listing import KnownModel, Listing, Names, parse_older

logger = logging.getLogger(__name__)

# An older snapshot is refreshed before a request is judged by it.
FRESH_SECONDS = 5.0
REFRESH_SECONDS = 5.0

_UNREADABLE = "LM Studio's list of models can't be read, so the request's model can't be checked."

REFUSED = "LM Studio refused the gateway. If it asks for an API token, set lmstudio.api_token to one of its."
_REFUSALS = frozenset({401, 403})

Read = Callable[[str], Awaitable[tuple[int, bytes]]]
"""Returns the status and body of LM Studio's answer to GET of a path, b"" for an error.

Raises GatewayError.
"""


class Catalogue:
    """The owner of the snapshot: `listing`, which is refreshed over HTTP, and the SDK's last lists.

    Only the SDK's list of models on disk has their paths. `on_refresh` is called with a snapshot that was
    refreshed over HTTP, if it is the first one or differs from the one before.

    `bodies` are those of the last lists over HTTP, by path; a list that LM Studio doesn't have isn't there.
    `on_bodies` is called with them when they have changed, but for the times in them.
    """

    on_refresh: Callable[[Listing], None] | None = None
    on_bodies: Callable[[Bodies], None] | None = None

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # The last list over HTTP, and the same with the paths of its models where they are known.
        self._listed, self.listing = Listing(), Listing()
        self.bodies: Bodies = MappingProxyType({})
        # Another one for each `listing`.
        self.version = 0
        self._listed_at: float | None = None
        # How often LM Studio's models were changed, and how often before that list was requested.
        self._changes = self._listed_changes = self._refresh_changes = 0
        # The SDK's last lists, None if there was none.
        self.downloaded: tuple[DownloadedModel, ...] | None = None
        self.loaded: tuple[LoadedModel, ...] | None = None
        self._on_disk: Names = {}
        self._in_memory: Names = {}
        # By names as they are recorded, if that isn't as they are.
        self._cleaned: Names = {}
        self._refresh: asyncio.Task[None] | None = None
        self._hung_at: float | None = None
        # The last thing logged, "" since there was a list again.
        self._logged = ""

    def put_downloaded(self, models: Iterable[DownloadedModel]) -> None:
        """Replace the SDK's list of models on disk."""
        self.downloaded = tuple(models)
        known = [(KnownModel(model.model_key, model.kind), model) for model in self.downloaded]
        self._on_disk = {name: one for one, model in known for name in (model.path, model.model_key)}
        self._merge()

    def put_loaded(self, instances: Iterable[LoadedModel]) -> None:
        """Replace the SDK's list of instances in memory."""
        self.loaded = tuple(instances)
        self._in_memory = {one.identifier: KnownModel(one.model_key, one.kind) for one in self.loaded}

    @property
    def is_fresh(self) -> bool:
        if self._listed_at is None or not self.is_current:
            return False
        return self._clock() - self._listed_at <= FRESH_SECONDS

    @property
    def is_current(self) -> bool:
        """True if the snapshot was requested after the last change that is known, however long ago."""
        return self._listed_at is not None and self._listed_changes == self._changes

    @property
    def was_listed(self) -> bool:
        """True if LM Studio has sent a list over HTTP since the gateway was started."""
        return self._listed_at is not None

    @property
    def is_refused(self) -> bool:
        """True if LM Studio refused the lists when they were requested last: the gateway lacks its token."""
        return self._logged == REFUSED

    @property
    def hangs(self) -> bool:
        """True if a request for the lists wasn't answered in time, a short while ago."""
        return self._hung_at is not None and self._clock() - self._hung_at <= FRESH_SECONDS

    @property
    def complete(self) -> Listing:
        """The snapshot with all models on disk that the SDK listed last, however long ago."""
        return structs.replace(self.listing, models={**self._on_disk, **self.listing.models})

    def expire(self) -> None:
        """Have the snapshot refreshed before a request is judged by it: a load or an unload has ended."""
        self._changes += 1

    def find(self, name: str) -> KnownModel | None:
        """Return the model that any list has under this name, or this cleaned name, however old it is."""
        known = self._in_memory.get(name) or self.listing.find(name) or self._on_disk.get(name)
        return known or self._cleaned.get(name)

    async def refresh(self, read: Read, tasks: background.DetachedTasks) -> None:
        """Request the lists over HTTP; concurrent calls share one request (single-flight).

        One that began before the last change isn't shared. Raises UpstreamUnavailable, and the snapshot is
        unchanged.
        """
        if self._refresh is None or self._refresh.done() or self._refresh_changes != self._changes:
            self._refresh_changes = self._changes
            self._refresh = tasks.start(self._request(read))
        await background.join(self._refresh)

    def restore(self, bodies: Bodies) -> None:
        """Replace the snapshot by what LM Studio sent at an earlier time, such as before a restart.

        Its models are known; no instance is in memory, and the snapshot isn't fresh. A body that isn't a list
        is ignored, with a warning; without any list nothing changes.
        """
        lists = parse_lists(bodies)
        readable = lists.of(bodies)
        for path in bodies.keys() - readable:
            logger.warning(
                "LM Studio's saved list of models (%s) can't be read, so it is ignored", clean_name(path)
            )
        listing = self._with_keys(lists.served) if lists.native is None else lists.native
        if listing is None:
            return
        self.bodies = readable
        self._listed = structs.replace(lists.with_on_demand(listing), instances={}, details={})
        self._listed_at = None
        self._merge()

    async def _request(self, read: Read) -> None:
        began, changes = self._clock(), self._changes
        try:
            async with asyncio.timeout(REFRESH_SECONDS):
                (_, native), (status, served) = await asyncio.gather(read(NATIVE_PATH), read(SERVED_PATH))
                bodies = {NATIVE_PATH: native, SERVED_PATH: served}
                lists = parse_lists(bodies)
                listing = lists.native
                if listing is None:  # LM Studio before 0.4, or another server
                    older = parse_older((await read("/api/v0/models"))[1])
                    listing = self._with_keys(older if older and older.models else lists.served)
        except UpstreamUnavailable:
            raise
        except (TimeoutError, GatewayError) as exc:
            if isinstance(exc, TimeoutError):
                self._hung_at = self._clock()
            raise UpstreamUnavailable(_UNREADABLE) from exc
        self._hung_at = None
        if listing is None:
            raise self._no_list(REFUSED if status in _REFUSALS else _UNREADABLE)
        self._logged = ""
        if changes < self._listed_changes:
            return  # a request that began later was answered sooner
        self._listed_changes = changes
        self._put_bodies(lists.of(bodies))
        self._put_listing(lists.with_on_demand(listing), began)

    def _put_listing(self, listing: Listing, began: float) -> None:
        is_news = self._listed_at is None or listing != self._listed
        self._listed, self._listed_at = listing, began
        self._merge()
        if is_news and self.on_refresh is not None:
            # The event loop logs its failure, which is none of the refresh. It runs before those who wait for
            # the refresh go on.
            asyncio.get_running_loop().call_soon(self.on_refresh, self.listing)

    def _put_bodies(self, bodies: Bodies) -> None:
        before, self.bodies = self.bodies, bodies
        if self.on_bodies is not None and have_changed(before, bodies):
            asyncio.get_running_loop().call_soon(self.on_bodies, bodies)

    def _no_list(self, reason: str) -> UpstreamUnavailable:
        """Return the error for answers without a list. It is logged when it begins."""
        if self._logged != reason:
            self._logged = reason
            logger.warning("%s", reason)
        return UpstreamUnavailable(reason)

    def _merge(self) -> None:
        listed = self._listed.models
        paths = {name: one for name, one in self._on_disk.items() if name not in listed and one.key in listed}
        self.listing = structs.replace(self._listed, models={**paths, **listed})
        self.version += 1
        names = {**self._on_disk, **listed, **self._listed.instances}
        cleaned = ((clean_name(name), one) for name, one in names.items())
        self._cleaned = {name: one for name, one in cleaned if name not in names}

    def _with_keys(self, listing: Listing | None) -> Listing | None:
        """Return the list with the keys of the instances that the SDK has listed too."""
        if listing is None:
            return None
        known = {name: one for name, one in self._in_memory.items() if name in listing.models}
        others = {name: one for name, one in listing.models.items() if known.get(name, one).key == name}
        return structs.replace(listing, instances={**listing.instances, **known}, models=others)
