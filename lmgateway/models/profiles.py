"""What the configuration says of single models: how they are loaded, and what their requests leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..config import ModelProfile
from ..schema.models import DefaultInference, LoadConfig


class Profiles(NamedTuple):
    """The profiles by the models' keys; each mapping has only those that set something."""

    loads: Mapping[str, LoadConfig]
    defaults: Mapping[str, DefaultInference]


def profiles_of(tables: Mapping[str, ModelProfile]) -> Profiles:
    """Return the profiles that these tables of the configuration make."""
    nothing = DefaultInference()
    return Profiles(
        loads={key: table.load for key, table in tables.items() if table.load is not None},
        defaults={key: table.defaults for key, table in tables.items() if table.defaults != nothing},
    )
