"""The OpenAPI document as a file, made once for each way to be configured."""

from __future__ import annotations

from collections.abc import Sequence

from ..operations.operation import JSON, Operation
from ..page_files import PageFile, page_file
from .document import build


class Documents:
    """The owner of the documents of one table of operations."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._operations = operations
        self._files: dict[tuple[bool, bool], PageFile] = {}

    def file(self, *, key_needed: bool, health_is_open: bool) -> PageFile:
        way = (key_needed, health_is_open)
        if way not in self._files:
            body = build(self._operations, key_needed=key_needed, health_is_open=health_is_open)
            self._files[way] = page_file(body, JSON)
        return self._files[way]
