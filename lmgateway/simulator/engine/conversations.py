"""The stored conversations of the stateful APIs."""

import msgspec

from .faults import Fault

MOST_ANSWERS = 1000
"""How many answers can be continued; the oldest is forgotten."""


class Turn(msgspec.Struct, frozen=True):
    """A message: its content is text, a list of parts, or None."""

    role: str
    content: object


class UnknownResponse(Fault):
    """No stored answer has this id."""

    def __init__(self, response_id: str) -> None:
        super().__init__(f"Previous response with id '{response_id}' not found.")


class Conversations:
    """The turns up to each stored answer, by its id. As in LM Studio, they belong to no caller."""

    def __init__(self) -> None:
        self._turns: dict[str, tuple[Turn, ...]] = {}

    def recall(self, response_id: str | None) -> tuple[Turn, ...]:
        """Return the turns, none without an id. Raises UnknownResponse."""
        if response_id is None:
            return ()
        try:
            return self._turns[response_id]
        except KeyError:
            raise UnknownResponse(response_id) from None

    def store(self, response_id: str, turns: tuple[Turn, ...]) -> None:
        self._turns[response_id] = turns
        if len(self._turns) > MOST_ANSWERS:
            del self._turns[next(iter(self._turns))]
