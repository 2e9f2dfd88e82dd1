"""Reloads of a gateway in the test's own event loop, as SIGHUP makes them in a process."""

from __future__ import annotations

import msgspec

from lmgateway.app import make_rules, put_in_force
from lmgateway.config import Config, decode_custom
from tests.support.gateway import Gateway


def reload(gateway: Gateway, **tables: dict[str, object]) -> None:
    """Put another configuration in force, given as TOML's tables."""
    config = msgspec.convert(tables, Config, dec_hook=decode_custom)
    put_in_force(gateway.app, make_rules(gateway.app, config))
