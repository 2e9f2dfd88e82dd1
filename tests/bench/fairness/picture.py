"""Draws two keys' shares of the machine over time, with the line and without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from .crowd import Client
from .scene import SAMPLES, Outcome, Scene

# Of a window over which a share is measured.
_WINDOW_SECONDS = 60.0
_WIDTH, _HEIGHT = 760, 200
_LEFT, _TOP, _GAP = 60, 50, 80
_A, _B = "#c8553d", "#2d6a9f"
_STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#333}.title{font-weight:600}"
    ".grid{stroke:#ddd}.line{fill:none;stroke-width:2}</style>"
)

Point = tuple[float, float]


async def draw(play: Callable[[Scene], Awaitable[Outcome]], seconds: float) -> str:
    """Return the picture as SVG: A keeps 20 requests in line; after a third of the time, B joins with 4."""
    joins = seconds / 3
    scene = Scene((Client("a", 20), Client("b", 4, begins=joins)), seconds)
    panels = [
        ("With the gateway's line: half each, as soon as B asks", await play(scene)),
        ("With LM Studio's own line: by who asks more often", await play(replace(scene, has_line=False))),
    ]
    width = round(_WINDOW_SECONDS * SAMPLES / seconds)
    drawn = "".join(
        _panel(title, outcome, seconds, joins, max(width, 1), _TOP + number * (_HEIGHT + _GAP))
        for number, (title, outcome) in enumerate(panels)
    )
    size = (_LEFT + _WIDTH + 60, _TOP + 2 * (_HEIGHT + _GAP) - 20)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size[0]} {size[1]}" role="img">'
        f"<title>Shares of the machine over time</title>{_STYLE}"
        f'<rect width="{size[0]}" height="{size[1]}" fill="#fff"/>{drawn}</svg>\n'
    )


def _panel(title: str, outcome: Outcome, seconds: float, joins: float, width: int, top: int) -> str:
    def at(time: float, part: float) -> Point:
        return _LEFT + _WIDTH * time / seconds, top + _HEIGHT * (1 - part)

    marks = "".join(_percent_mark(part, *at(0, part)) for part in (0, 0.25, 0.5, 0.75, 1))
    minutes = "".join(_minute_mark(minute, *at(60 * minute, 0)) for minute in _minutes(seconds))
    x, _ = at(joins, 0)
    event = (
        f'<line x1="{x:.0f}" x2="{x:.0f}" y1="{top}" y2="{top + _HEIGHT}" stroke="#999" '
        f'stroke-dasharray="4 4"/><text x="{x + 6:.0f}" y="{top + 14}">B joins</text>'
    )
    lines = "".join(
        _line([at(time, part) for time, part in outcome.parts_over_time(key, width)], colour, label)
        for key, colour, label in (("a", _A, "A"), ("b", _B, "B"))
    )
    heading = f'<text class="title" x="{_LEFT}" y="{top - 14}">{title}</text>'
    return heading + marks + minutes + event + lines


def _minutes(seconds: float) -> Sequence[int]:
    total = int(seconds // 60)
    return range(0, total + 1, max(total // 6, 1))


def _percent_mark(part: float, x: float, y: float) -> str:
    return (
        f'<line class="grid" x1="{x:.0f}" x2="{x + _WIDTH:.0f}" y1="{y:.0f}" y2="{y:.0f}"/>'
        f'<text x="{x - 8:.0f}" y="{y + 4:.0f}" text-anchor="end">{part:.0%}</text>'
    )


def _minute_mark(minute: int, x: float, y: float) -> str:
    return f'<text x="{x:.0f}" y="{y + 20:.0f}" text-anchor="middle">{minute} min</text>'


def _line(points: Sequence[Point], colour: str, label: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    x, y = points[-1]
    # Where the lines end together, the labels would cover each other.
    shift = -3 if label == "A" else 14
    return (
        f'<polyline class="line" stroke="{colour}" points="{path}"/>'
        f'<text x="{x + 8:.0f}" y="{y + shift:.0f}" style="fill:{colour};font-weight:600">{label}</text>'
    )
