"""HTTP messages as they were received on a raw socket."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Message:
    """`headers` are name and value pairs, in order, as spelt."""

    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def one(self, name: str) -> str | None:
        values = self.all(name)
        assert len(values) < 2, values
        return values[0] if values else None


def parse_head(head: bytes) -> tuple[str, list[tuple[str, str]]]:
    """Return the first line and the header fields."""
    line, *fields = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    return line, [(name, value.strip()) for name, _, value in (text.partition(":") for text in fields)]
