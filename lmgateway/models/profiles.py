"""The configured profiles of single models: aliases, load settings, and default parameters of requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..config import ModelProfile
from ..schema.models import DefaultInference, LoadConfig
from .aliases import Aliases


class Profiles(NamedTuple):
    """The profiles by model key; each mapping has only the models with such settings."""

    loads: Mapping[str, LoadConfig]
    defaults: Mapping[str, DefaultInference]
    aliases: Aliases


def profiles_of(tables: Mapping[str, ModelProfile]) -> Profiles:
    """Return the profiles in these tables of the configuration."""
    nothing = DefaultInference()
    return Profiles(
        loads={key: table.load for key, table in tables.items() if table.load is not None},
        defaults={key: table.defaults for key, table in tables.items() if table.defaults != nothing},
        aliases=Aliases(tables),
    )
