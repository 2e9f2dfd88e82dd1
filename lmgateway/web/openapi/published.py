"""The OpenAPI document as a file, rendered once for each configuration that it depends on."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.operation import JSON, Operation
from ..page_files import PageFile, page_file
from .document import build


class Documents:
    """The owner of the rendered documents."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._files: dict[tuple[bool, bool], PageFile] = {}

    def file(self, *, key_needed: bool, health_is_open: bool) -> PageFile:
        variant = (key_needed, health_is_open)
        if variant not in self._files:
            body = build(self._operations, key_needed=key_needed, health_is_open=health_is_open)
            self._files[variant] = page_file(body, JSON)
        return self._files[variant]
