"""The handlers of /admin/boxes: lists, drains, resumes and wakes the LM Studios behind the gateway."""

from __future__ import annotations

import asyncio

from aiohttp import web
from msgspec import structs

from ..boxes.box_set import box_not_found
from ..boxes.overview import renew
from ..config import Config
from ..errors import Conflict
from ..scheduling.box_report import box_report, box_reports
from ..scheduling.station import Station
from ..schema.boxes import BoxAnswer, BoxList
from ..settings import paths
from .responses import json_response
from .state import CONTEXT, SCHEDULER

_ASKED = "somebody asked for it"
_NOT_SET = "The machine of {} can't be woken up: its MAC address isn't known. Set {} in config.toml."


async def list_boxes(request: web.Request) -> web.Response:
    scheduler = request.app[SCHEDULER]
    await asyncio.gather(*(renew(station.box) for station in scheduler.stations))
    return json_response(BoxList(boxes=box_reports(scheduler.stations, scheduler.line)))


async def drain(request: web.Request) -> web.Response:
    station, stations = _station(request), request.app[SCHEDULER].stations
    stations.drain(station, True)
    if len(stations) == 1:
        message = f"{station.name} drains, but it is the only box, so all requests still go to it."
    else:
        message = f"{station.name} drains: it gets only requests that can go nowhere else."
    return _answer(request, station, message)


async def resume(request: web.Request) -> web.Response:
    station = _station(request)
    request.app[SCHEDULER].stations.drain(station, False)
    return _answer(request, station, f"{station.name} gets requests.")


async def wake(request: web.Request) -> web.Response:
    """A box that was left alone counts as up, but may have fallen asleep, so it is woken too."""
    station = _station(request)
    box = station.box
    if not box.may_sleep:
        raise Conflict(_NOT_SET.format(station.name, _wake_mac(request[CONTEXT].rules.config, station.name)))
    was_waking = box.is_waking
    box.wake(_ASKED)
    if was_waking:
        message = f"{station.name} is being woken up already."
    elif box.is_waking:
        message = f"{station.name} is being woken up: a magic packet is sent every 10 s until it answers."
    else:
        message = f"{station.name} is up."
    return _answer(request, station, message)


def _wake_mac(config: Config, name: str) -> str:
    """Return the path of the setting that a wake needs."""
    return paths.write(("boxes", name, "wake_mac") if config.boxes else ("lmstudio", "wake_mac"))


def _station(request: web.Request) -> Station:
    """Return the box in force that the path names. Raises BoxNotFound."""
    name, stations = request.match_info["name"], request.app[SCHEDULER].stations
    if (station := stations.get(name)) is None:
        raise box_not_found(name, (one.name for one in stations))
    return station


def _answer(request: web.Request, station: Station, message: str) -> web.Response:
    scheduler = request.app[SCHEDULER]
    report = box_report(station, scheduler.stations, scheduler.line)
    return json_response(BoxAnswer(**structs.asdict(report), message=message))
