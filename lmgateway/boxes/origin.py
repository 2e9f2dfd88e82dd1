"""Where an LM Studio is reached, and with which token."""

from __future__ import annotations

from typing import Self

from msgspec import Struct
from yarl import URL

from ..config import LMStudio


class Origin(Struct, frozen=True):
    """An address and the API token for it. They are one value, so that no token reaches another address."""

    base_url: URL
    api_token: str

    @classmethod
    def of(cls, config: LMStudio) -> Self:
        return cls(config.base_url, config.api_token)

    @property
    def sdk_host(self) -> str | None:
        """Host and port for LM Studio's SDK, None for https or a path, which the SDK doesn't support."""
        if self.base_url.scheme != "http" or self.base_url.raw_path not in {"", "/"}:
            return None
        return self.base_url.raw_authority
