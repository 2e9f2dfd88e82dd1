"""What is known of a request when it joins the line. None of it changes."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from msgspec import Struct

from ..schema.common import ModelType
from ..schema.keys import Priority

# After so long a background request counts as interactive, or after half of its own limit.
BACKGROUND_SECONDS = 120.0


class Account(NamedTuple):
    """Who pays: a key, or one of its addresses while all requests are of one key."""

    key: str
    address: str | None = None


# Most requests have the account of one before; making it takes 0.3 µs, and finding it 0.05 µs.
account_of = lru_cache(maxsize=1024)(Account)


class Terms(NamedTuple):
    """A key's weight beside others, and how many of its requests may run at once, None for any number."""

    share: float = 1.0
    running: int | None = None


# Without equality, two requests with the same id, which clients may choose, are two.
class Ticket(Struct, frozen=True, kw_only=True, eq=False, gc=False):
    """A request in the line.

    `user` is None unless the key's turn is split among its users; "" for a request that names none.
    `instance` is the identifier of the only instance that may answer, if the request names one. `max_wait` is
    in seconds, infinite for no limit. The last three are for the context guard: the prompt's bytes of text,
    the tokens of the conversation that it continues, and the most tokens that it may generate, if it says so.
    """

    request_id: str
    account: Account
    user: str | None = None
    priority: Priority = "interactive"
    model: str
    kind: ModelType = "llm"
    box: str
    instance: str | None = None
    body_bytes: int = 0
    max_wait: float = float("inf")
    prompt_bytes: int = 0
    earlier_tokens: int = 0
    max_tokens: int | None = None

    @property
    def background_seconds(self) -> float:
        """How long it lets interactive requests go first."""
        return 0.0 if self.priority == "interactive" else min(BACKGROUND_SECONDS, self.max_wait / 2)
