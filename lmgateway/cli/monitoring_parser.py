"""The commands that ask a running gateway, and their options."""

from __future__ import annotations

import argparse

from .subcommands import Commands, add_command

MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 0.2, 3600.0


def add_monitoring(commands: Commands, remote: argparse.ArgumentParser) -> None:
    status = add_command(
        commands,
        "status",
        parents=[remote],
        summary="show the gateway, its models and your key on one screen",
    )
    status.set_defaults(command="status.status")
    refreshed = argparse.ArgumentParser(add_help=False, parents=[remote])
    refreshed.add_argument(
        "--interval",
        type=_interval,
        default=2.0,
        metavar="SECONDS",
        help="how often a terminal's table is refreshed (%(default)g)",
    )
    watched = argparse.ArgumentParser(add_help=False, parents=[refreshed])
    watched.add_argument(
        "--watch", action="store_true", help="on a terminal, refresh the table until Ctrl-C is pressed"
    )
    ps = add_command(commands, "ps", parents=[watched], summary="show who runs, who waits, and on what")
    ps.set_defaults(command="queue.ps")
    queue = add_command(
        commands,
        "queue",
        parents=[refreshed],
        summary="watch who runs, who waits and why, and each key's part of the machine's time",
    )
    queue.add_argument("--once", action="store_true", help="on a terminal too, don't refresh the table")
    queue.set_defaults(command="queue.queue")
    models = add_command(
        commands, "models", parents=[watched], summary="list the models on disk and in memory"
    )
    models.set_defaults(command="models.listing")
    _add_events(commands, remote)
    _add_usage(commands, remote)


def _add_events(commands: Commands, remote: argparse.ArgumentParser) -> None:
    watch = add_command(commands, "events", parents=[remote], summary="follow the gateway's events")
    watch.add_argument(
        "--type",
        action="append",
        default=[],
        metavar="NAME,...",
        help="only events of these names, such as error,model_load_progress",
    )
    watch.set_defaults(command="events.events")


def _add_usage(commands: Commands, remote: argparse.ArgumentParser) -> None:
    usage = add_command(
        commands, "usage", parents=[remote], summary="show who used what: requests, tokens and times"
    )
    when = "a date, ISO 8601, or how long ago, such as 30d or 12h"
    usage.add_argument("--since", metavar="TIME", help=f"{when}; by default six days before today")
    usage.add_argument("--until", metavar="TIME", help=f"{when}; by default now")
    usage.add_argument(
        "--by",
        metavar="NAME,...",
        help="a row for each of these: day, hour, key, model, box; by default day,key",
    )
    usage.add_argument("--csv", action="store_true", help="print CSV, for a spreadsheet")
    usage.set_defaults(command="usage.usage")


def _interval(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not MIN_INTERVAL_SECONDS <= seconds <= MAX_INTERVAL_SECONDS:
        raise argparse.ArgumentTypeError(
            f"write seconds from {MIN_INTERVAL_SECONDS:g} to {MAX_INTERVAL_SECONDS:g}"
        )
    return seconds
