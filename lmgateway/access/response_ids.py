"""Which key got the response of an id, and its tokens: another key's requests can't continue it."""

from __future__ import annotations

import asyncio
from hashlib import blake2b

from ..errors import PreviousResponseNotFound, StateNotSaved
from ..storage.response_ids import Owner, SavedResponseIds

SAVE_SECONDS = 1.0
# After a failure, which the database logs and counts.
RETRY_SECONDS = 30.0
_DIGEST_BYTES = 16


class ResponseIds:
    """The owner of the newest ids. An unknown id may be anyone's."""

    def __init__(self, storage: SavedResponseIds) -> None:
        self._storage = storage
        # By a digest, which takes less memory than the id. The oldest first.
        self._owners: dict[bytes, Owner] = {}
        # Of responses since the start: the tokens of their conversations.
        self._tokens: dict[bytes, int] = {}
        self._known: dict[Owner, Owner] = {}
        self._unsaved: dict[bytes, Owner] = {}
        self._has_unsaved = asyncio.Event()

    async def restore(self) -> None:
        self._owners = await self._storage.load()

    async def close(self) -> None:
        await self._save()

    def bind(self, response_id: str, key: str, box: str, tokens: int = 0) -> None:
        """Record that a key got this response from this box. Only the first key counts.

        `tokens` are those of its prompt and its completion, as far as they are known by now.
        """
        digest, owner = _digest(response_id), Owner(key, box)
        known = self._owners.get(digest)
        if tokens and known in {None, owner}:
            self._tokens[digest] = tokens
        if known is not None:
            return
        owner = self._known.setdefault(owner, owner)
        self._owners[digest] = self._unsaved[digest] = owner
        for ids in (self._owners, self._unsaved):
            if len(ids) > self._storage.max_ids:
                oldest = next(iter(ids))
                del ids[oldest]
                if ids is self._owners:
                    self._tokens.pop(oldest, None)
        self._has_unsaved.set()

    def forget_box(self, box: str) -> None:
        """Take in that no box has these responses any more: the one of this name is another one by now."""
        for digest, owner in self._owners.items():
            if owner.box == box:
                gone = owner._replace(box="")
                self._owners[digest] = self._unsaved[digest] = self._known.setdefault(gone, gone)
        self._has_unsaved.set()

    def owner(self, response_id: str) -> Owner | None:
        return self._owners.get(_digest(response_id))

    def tokens(self, response_id: str | None) -> int:
        """Return the tokens of the conversation up to this response, 0 if they are unknown."""
        return 0 if response_id is None else self._tokens.get(_digest(response_id), 0)

    def check(self, response_id: str | None, key: str) -> None:
        """Raise PreviousResponseNotFound if another key got this response."""
        owner = None if response_id is None else self.owner(response_id)
        if owner is not None and owner.key != key:
            raise PreviousResponseNotFound(
                f"The key {key} has no response of this previous_response_id. Send the conversation instead."
            )

    async def save(self) -> None:
        """Save new ids in batches."""
        while True:
            await self._has_unsaved.wait()
            await asyncio.sleep(SAVE_SECONDS)
            if not await self._save():
                await asyncio.sleep(RETRY_SECONDS)

    async def _save(self) -> bool:
        """Save the ids that aren't saved yet; return whether that succeeded."""
        self._has_unsaved.clear()
        batch, self._unsaved = self._unsaved, {}
        if not batch:
            return True
        try:
            await self._storage.save(list(batch.items()))
        except StateNotSaved:  # logged and counted by the database
            self._unsaved = {**batch, **self._unsaved}
            self._has_unsaved.set()
            return False
        return True


def _digest(response_id: str) -> bytes:
    return blake2b(response_id.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
