"""Which box has served the beginning of a conversation last, for LM Studio's prompt cache."""

from __future__ import annotations

MAX_CONVERSATIONS = 10_000

# The name of a key, that of a model, and the digest of the conversation's beginning.
_Conversation = tuple[str, str, bytes]


class Affinity:
    """The boxes of the conversations that were served last: one entry a conversation, 0.3 KB each."""

    def __init__(self, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._max_conversations = max_conversations
        # The one that was served longest ago first.
        self._boxes: dict[_Conversation, str] = {}

    def __len__(self) -> int:
        return len(self._boxes)

    def box_of(self, key: str, model: str, digest: bytes | None) -> str | None:
        """Return the name of the box, None if it is unknown, or if the request has no digest."""
        return None if digest is None else self._boxes.get((key, model, digest))

    def served(self, key: str, model: str, digest: bytes | None, box: str) -> None:
        """Record that this box serves the conversation."""
        if digest is None:
            return
        conversation = (key, model, digest)
        self._boxes.pop(conversation, None)  # it becomes the newest
        self._boxes[conversation] = box
        if len(self._boxes) > self._max_conversations:
            del self._boxes[next(iter(self._boxes))]

    def forget_box(self, box: str) -> None:
        """Remove a box that was taken away, or whose prompt cache is lost."""
        self._boxes = {known: name for known, name in self._boxes.items() if name != box}
