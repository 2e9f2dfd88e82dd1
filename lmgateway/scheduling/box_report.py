"""What operators see of the boxes: the JSON of /admin/boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping

from ..boxes.overview import latency_ms
from ..schema.boxes import BoxReport
from ..text import clean_name
from .line import Line
from .station import Station
from .stations import Stations
from .tickets import Wanted
from .waiting import Waiting


def box_reports(stations: Stations, line: Line) -> tuple[BoxReport, ...]:
    """Return the reports of all boxes, in the order of the configuration. No box is asked for anything."""
    return tuple(box_report(station, stations, line) for station in stations)


def box_report(station: Station, stations: Stations, line: Line) -> BoxReport:
    def places(target: Wanted) -> Collection[str]:
        return [one.name for one in stations if target.allows(one.name) and _may_have(one, target)]

    def brings(target: Wanted) -> bool:
        prospects = station.residency.prospects
        return target.allows(station.name) and (prospects.loads(target) or prospects.brings(target))

    box = station.box
    return BoxReport(
        box=station.name,
        state=stations.state_of(station),
        latency_ms=latency_ms(box),
        version=box.known.version,
        models=tuple(sorted({clean_name(model.key) for model in box.catalogue.complete.models.values()})),
        running=line.machines.running_on(station.name),
        waiting=count_waiting(station.name, wanted_by(line.waiting), places, brings),
    )


def _may_have(station: Station, target: Wanted) -> bool:
    return bool(target.box) or station.knows(target.model)


def wanted_by(waiting: Waiting) -> Mapping[Wanted, int]:
    """Return what is waited for, and by how many requests."""
    wanted: Counter[Wanted] = Counter()
    for group in waiting.groups():
        wanted[group[0].ticket.group.wanted] += len(group)
    return wanted


def count_waiting(
    box: str,
    wanted: Mapping[Wanted, int],
    places: Callable[[Wanted], Collection[str]],
    brings: Callable[[Wanted], bool],
) -> int:
    """Return how many of the waiting requests can only go to a box, or wait for it to load their model.

    `places` returns the boxes that a request may go to, and `brings` whether this box loads its model.
    """
    return sum(number for target, number in wanted.items() if list(places(target)) == [box] or brings(target))
