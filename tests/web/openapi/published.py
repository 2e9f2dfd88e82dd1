"""The published document and its operations."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.gateway import Gateway

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")


@dataclass
class Published:
    """One operation of the document. `example_path` has an example for each parameter in it."""

    method: str
    path: str
    described: dict[str, Any]

    @property
    def example_path(self) -> str:
        path = self.path
        for parameter in self.described["parameters"]:
            path = path.replace(f"{{{parameter['name']}}}", str(parameter["example"]))
        return path


async def fetch(gateway: Gateway) -> dict[str, Any]:
    async with gateway.client.get(gateway.url("/openapi.json")) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
        return await response.json()  # type: ignore[no-any-return]


def operations(document: dict[str, Any]) -> Iterator[Published]:
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                yield Published(method.upper(), path, item[method])
