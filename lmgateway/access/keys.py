"""The owner of the named keys."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import msgspec
from msgspec import structs

from ..background import DetachedTasks
from ..errors import StateNotSaved
from ..observe.clock import iso_timestamp, unix_time
from ..observe.event_stream import Events
from ..observe.events import KeyChanged
from ..schema.keys import Change, KeySettings
from ..storage.keys import SavedKey, SavedKeys
from ..text import printable
from . import keyring
from .callers import Caller, check_author
from .key_settings import CheckedSettings
from .key_uses import KeyUses
from .keyring import Keyring, NamedKey
from .secrets import id_of, make_key, secret_of

logger = logging.getLogger(__name__)

T = TypeVar("T")

_UNREADABLE = (
    "the saved keys can't be read, so only the owner's key (auth.api_key) is accepted. Restore a copy of the "
    "database, or make a key with the owner's. If there were no keys, remove the damaged files (.broken) "
    "from the state folder, and start the gateway again"
)
_UNMANAGED = (
    "no key can change the keys: auth.api_key isn't set, and no named key that is valid has the scope admin. "
    "Set auth.api_key, and make one"
)

USES_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 600.0
# How often the clock is looked at while a key is to end: it may be set forward, as on a machine without a
# battery for its clock, and timers don't count the time in which a machine sleeps.
CLOCK_SECONDS = 0.5


class Keys:
    """The keys, whose changes are saved first: one that can't be saved isn't made.

    `on_change` is called with the keys after each change, and when a key or a previous secret has ended.
    """

    def __init__(
        self,
        storage: SavedKeys,
        events: Events,
        *,
        owner_key: Callable[[], str],
        on_change: Callable[[Keyring], None],
    ) -> None:
        self._storage = storage
        self._events = events
        self._owner_key = owner_key
        self._on_change = on_change
        self._lock = asyncio.Lock()
        self._changes = DetachedTasks()
        self._changed = asyncio.Event()
        self.ring = Keyring()
        self.uses = KeyUses()

    async def restore(self) -> None:
        """Load the saved keys. A key that can't be decoded is refused, with a warning."""
        rows = await self._storage.load()
        keys: list[NamedKey] = []
        for row in rows or ():
            try:
                keys.append(_decoded(row))
            except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
                logger.warning(
                    "the saved key %s can't be decoded, so it is refused. A new key of that name replaces it",
                    printable(row.name),
                )
        if rows is None:
            logger.warning(_UNREADABLE)
        self.uses.restore({row.name: row.used for row in rows or () if row.used is not None})
        self._put(Keyring.of(keys, is_readable=rows is not None, has_unreadable=len(keys) < len(rows or ())))
        self.warn_if_unmanaged()

    async def close(self) -> None:
        await self._changes.close()
        await self._save_uses(all_of_them=True)

    async def make(self, name: str, checked: CheckedSettings, *, by: Caller) -> tuple[NamedKey, str]:
        """Return the new key, and its secret, which isn't stored.

        Raises Conflict, StateNotSaved, and as `check_author`.
        """

        async def make() -> tuple[NamedKey, str]:
            text = self._new_secret()
            key = NamedKey(
                name=name,
                settings=checked.settings,
                secret=secret_of(text),
                created=unix_time(),
                expires=checked.expires,
            )
            keyring.check_new(self.ring, key, has_owner=bool(self._owner_key()))
            await self._save(key, "made", by)
            return key, text

        return await self._run(make)

    async def change(
        self, name: str, edit: Callable[[KeySettings], CheckedSettings], *, by: Caller
    ) -> NamedKey:
        """Return the key with the settings that `edit` makes of its current ones.

        Raises KeyNotFound, Conflict, StateNotSaved, what `edit` raises, and as `check_author`.
        """

        async def change() -> NamedKey:
            before = self.ring.get(name)
            checked = edit(before.settings)
            key = structs.replace(before, settings=checked.settings, expires=checked.expires)
            keyring.check_change(self.ring, key, unix_time(), has_owner=bool(self._owner_key()))
            await self._save(key, "changed", by)
            return key

        return await self._run(change)

    async def rotate(self, name: str, grace_seconds: float, *, by: Caller) -> tuple[NamedKey, str]:
        """Return the key and its new secret; the current one stays valid for so long.

        Raises KeyNotFound, StateNotSaved, and as `check_author`.
        """

        async def rotate() -> tuple[NamedKey, str]:
            text = self._new_secret()
            before = self.ring.get(name)
            key = keyring.refreshed(before, secret_of(text), now=unix_time(), grace_seconds=grace_seconds)
            await self._save(key, "rotated", by)
            return key, text

        return await self._run(rotate)

    async def revoke(self, name: str, *, by: Caller) -> None:
        """Raises KeyNotFound, Conflict, StateNotSaved, and as `check_author`."""

        async def revoke() -> None:
            self.ring.get(name)
            keyring.check_leave(self.ring, name, unix_time(), has_owner=bool(self._owner_key()))
            check_author(self.ring, by)
            await self._storage.delete(name)
            self.uses.forget(name)
            self._put(self.ring.replacing(name, None))
            self._events.publish(KeyChanged(key=name, change="revoked"))

        await self._run(revoke)

    async def _run(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Make one change at a time, to its end even if its caller is cancelled."""

        async def alone() -> T:
            async with self._lock:
                return await change()

        return await self._changes.run(alone())

    async def _save(self, key: NamedKey, change: Change, by: Caller) -> None:
        check_author(self.ring, by)
        await self._storage.save(key.name, msgspec.json.encode(key).decode())
        self._put(self.ring.replacing(key.name, key))
        self._events.publish(KeyChanged(key=key.name, change=change))

    def _put(self, ring: Keyring) -> None:
        self.ring = ring
        self._changed.set()
        self._on_change(ring)

    def warn_if_unmanaged(self) -> None:
        """Log a warning if there are keys, and none of them nor the owner's can change them."""
        now, ring = unix_time(), self.ring
        if ring.keys and not (self._owner_key() or any(key.manages_keys(now) for key in ring.keys.values())):
            logger.warning(_UNMANAGED)

    def _new_secret(self) -> str:
        while (new := id_of(text := make_key())) in self.ring.secrets or new == id_of(self._owner_key()):
            pass
        return text

    async def watch_ends(self) -> None:
        """Call `on_change` when a key or a previous secret ends."""
        now = unix_time()
        while True:
            ends = self.ring.ends_after(now)
            pause = None if ends is None else max(min(ends - now, CLOCK_SECONDS), 0.01)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            self._changed.clear()
            now = unix_time()
            if ends is not None and ends <= now:
                self._on_change(self.ring)
                self.warn_if_unmanaged()

    async def save_uses(self) -> None:
        """Save now and then when the keys were used last; after a failure less often, as each is logged."""
        pause = USES_SECONDS
        while True:
            await asyncio.sleep(pause)
            pause = USES_SECONDS if await self._save_uses() else min(2 * pause, LONGEST_PAUSE_SECONDS)

    async def _save_uses(self, *, all_of_them: bool = False) -> bool:
        times = self.uses.unsaved(all_of_them=all_of_them)
        if not times:
            return True
        try:
            await self._storage.save_uses(times)
        except StateNotSaved:
            return False  # logged and counted by the database; the times are saved later
        self.uses.saved(times)
        return True


def _decoded(row: SavedKey) -> NamedKey:
    """Return the key of a row. Raises MsgspecError, ValueError and, for times, OverflowError and OSError."""
    key = msgspec.json.decode(row.key, type=NamedKey)
    if key.name != row.name:
        raise ValueError("the row has another key's name")
    # What would fail only when it is used.
    _ = key.networks
    for seconds in (key.created, key.expires):
        iso_timestamp(seconds)
    return key
