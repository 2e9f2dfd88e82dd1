"""`lmgateway service`: the gateway as a service of systemd."""

from __future__ import annotations

from .installing import install
from .removing import uninstall
from .status import status

__all__ = ["install", "status", "uninstall"]
