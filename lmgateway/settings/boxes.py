"""The tables `[boxes.NAME]`: what each box has from `[lmstudio]`, and the mistakes in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv6Address
from typing import cast

from msgspec import structs
from yarl import URL

from ..config import Config
from ..networks import parse_address
from . import paths
from .collector import Collector, SettingValue, default_of
from .leaf import Setting
from .tree import ROOT, NamedTables

_BOXES, _COMMON, _ADDRESS = "boxes", "lmstudio", "base_url"
_COMMON_ADDRESS = (_COMMON, _ADDRESS)
COMMON_ADDRESS = paths.write(_COMMON_ADDRESS)
"""The setting that no box inherits, and that isn't used beside boxes."""


def table_of(config: Config, box: str) -> str:
    """Return the path of a box's table: `lmstudio` if it is the only one, because there is no [boxes]."""
    return paths.write((_BOXES, box)) if config.boxes else _COMMON


def mistakes(collector: Collector) -> Iterator[str]:
    """Yield a sentence for each mistake of the boxes together: missing, common or equal addresses."""
    names = _names(collector)
    if names:
        yield from _common_addresses(collector)
    addresses: dict[str, URL] = {}
    for name in names:
        path = (_BOXES, name, _ADDRESS)
        if path in collector.values:
            addresses[name] = cast("URL", collector.values[path].value)
        else:
            table = paths.write(path[:-1])
            yield f'{table}: has no base_url; write its LM Studio\'s, such as "http://192.168.1.20:1234"'
    yield from _shared_addresses(addresses)


def complete(collector: Collector) -> tuple[str, ...]:
    """Add to each box the settings that it doesn't set; without boxes nothing.

    Return a sentence for each value that is ignored. The collector must have no `mistakes`.
    """
    names = _names(collector)
    if not names:
        return ()
    settings = cast("Mapping[str, Setting]", cast("NamedTables", ROOT.children[_BOXES]).table.children)
    for name in names:
        for setting in settings:
            path = (_BOXES, name, setting)
            if path not in collector.values:
                collector.values[path] = _inherited(collector, setting, settings[setting])
    ignored = collector.values.pop(_COMMON_ADDRESS, None)
    if ignored is None:
        return ()
    return (
        f"{ignored.origin}: {COMMON_ADDRESS} is ignored, because each box of [boxes] has its own base_url.",
    )


def _names(collector: Collector) -> list[str]:
    return list(dict.fromkeys(path[1] for path in collector.named_tables if path[0] == _BOXES))


def _inherited(collector: Collector, name: str, setting: Setting) -> SettingValue:
    common = collector.values.get((_COMMON, name))
    if common is None:
        return default_of(setting)
    return structs.replace(common, setting=setting, is_inherited=True)


def _common_addresses(collector: Collector) -> Iterator[str]:
    """Yield a sentence for each source that sets an address for no box in particular.

    That of a variable is ignored: a container's or a service's environment may have it for all uses.
    """
    given = [*collector.overridden, *collector.values.items()]
    for one in (value for path, value in given if path == _COMMON_ADDRESS and not value.variable):
        yield (
            f"{one.origin}: {COMMON_ADDRESS}: can't be set beside [boxes], where each box has its own; "
            f"remove it, or move it to [boxes.NAME]"
        )


def _shared_addresses(addresses: Mapping[str, URL]) -> Iterator[str]:
    """Yield a sentence for each box that has the address of one before it."""
    owners: dict[tuple[str, int | None, str], str] = {}
    for name, url in addresses.items():
        # Without the scheme: no server speaks http and https at one port.
        place = (_host(url.raw_host or ""), url.port, url.raw_path.rstrip("/"))
        if (other := owners.setdefault(place, name)) != name:
            pair = " and ".join(paths.write((_BOXES, one, _ADDRESS)) for one in (other, name))
            yield f"{pair}: both are the LM Studio at {url}; remove one of the two boxes"


def _host(host: str) -> str:
    """Return one name for all that a host is called."""
    name = host.rstrip(".").lower()
    try:
        # localhost may be either loopback address, and a client that connects to an unspecified one reaches
        # its own machine.
        address = parse_address("127.0.0.1" if name == "localhost" else name)
    except ValueError:
        return name
    if address.is_unspecified or address == IPv6Address("::1"):
        return "127.0.0.1"
    _, percent, zone = name.partition("%")
    return f"{address}{percent}{zone}"
