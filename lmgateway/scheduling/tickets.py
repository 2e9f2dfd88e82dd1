"""What is known of a request when it joins the line. None of it changes."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, structs

from ..schema.common import Mobility, ModelType
from ..schema.keys import Priority

# After so long a background request counts as interactive, or after half of its own limit.
BACKGROUND_SECONDS = 120.0


class Account(NamedTuple):
    """Who pays: a key, or one of its addresses while all requests are of one key."""

    key: str
    address: str | None = None


class Terms(NamedTuple):
    """A key's weight beside others, and how many of its requests may run at once, None for any number."""

    share: float = 1.0
    running: int | None = None


class Wanted(NamedTuple):
    """The model that a request goes to, and the only instance that may answer, if the request names one.

    `box` is the only one that may answer, "" if any may that isn't one of the `passed` ones: those couldn't
    be sent the request.
    """

    box: str
    model: str
    instance: str | None = None
    passed: frozenset[str] = frozenset()

    def allows(self, box: str) -> bool:
        """True if this box may answer."""
        return self.box == box or (not self.box and box not in self.passed)


class Group(Struct, frozen=True, kw_only=True, gc=False):
    """What many requests of a client have in common. Those of a group run in the order of their arrival.

    `user` is None unless the key's turn is split among its users; "" for a request that names none.
    `max_wait` is in seconds, infinite for no limit.
    """

    account: Account
    user: str | None = None
    priority: Priority = "interactive"
    wanted: Wanted
    kind: ModelType = "llm"
    max_wait: float = float("inf")

    @property
    def background_seconds(self) -> float:
        """How long they let interactive requests go first."""
        return 0.0 if self.priority == "interactive" else min(BACKGROUND_SECONDS, self.max_wait / 2)


# Without equality, two requests with the same id, which clients may choose, are two.
class Ticket(Struct, frozen=True, eq=False, gc=False):
    """A request in the line.

    Three are for the context guard: the prompt's bytes of text, 0 if they weren't counted, the tokens of the
    conversation that it continues, and the most tokens that it may generate, if it says so. `conversation`
    identifies the beginning of its conversation, if several boxes may answer; `mobility` is whether it may be
    sent again if a box fails before it answers: to another one unless it `is_bound`, or when the machine is
    awake.
    """

    request_id: str
    group: Group
    body_bytes: int = 0
    prompt_bytes: int = 0
    earlier_tokens: int = 0
    max_tokens: int | None = None
    conversation: bytes | None = None
    mobility: Mobility = "none"
    is_bound: bool = False

    def passing(self, box: str) -> Ticket:
        """Return a ticket for the same request that doesn't go to this box.

        Any other box may answer then: a request that only this one can answer must not be passed on.
        """
        wanted = self.group.wanted
        # Without a name in the request, its model was the only one in this box's memory.
        model = "" if wanted.box and wanted.instance is not None else wanted.model
        instance = None if wanted.box else wanted.instance
        passed = Wanted("", model, instance, wanted.passed | {box})
        return structs.replace(self, group=structs.replace(self.group, wanted=passed))

    @property
    def account(self) -> Account:
        return self.group.account

    @property
    def user(self) -> str | None:
        return self.group.user

    @property
    def priority(self) -> Priority:
        return self.group.priority

    @property
    def model(self) -> str:
        return self.group.wanted.model

    @property
    def instance(self) -> str | None:
        return self.group.wanted.instance

    @property
    def kind(self) -> ModelType:
        return self.group.kind
