"""The protocol of LM Studio's SDKs: WebSockets with calls and channels."""

from .socket import add_routes

__all__ = ["add_routes"]
