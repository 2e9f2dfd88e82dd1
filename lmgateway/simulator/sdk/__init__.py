"""The face towards LM Studio's SDKs: WebSockets that carry calls and channels."""

from .socket import add_routes

__all__ = ["add_routes"]
