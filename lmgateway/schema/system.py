"""The JSON of /admin/config and /debug/system."""

from __future__ import annotations

from typing import Annotated

from .common import Message, about
from .health import Reachability


class SettingReport(Message, frozen=True, kw_only=True):
    """A setting in force, and where its value comes from."""

    path: Annotated[str, about("Its path in TOML's syntax.")]
    value: Annotated[
        str,
        about("Its value in TOML's syntax, or `not set`. A secret that is set is shown as asterisks."),
    ]
    origin: Annotated[
        str, about("Its source: `default`, a file, an environment variable, or the command line.")
    ]
    needs_restart: Annotated[
        bool,
        about("Whether a reload has changed it, and it takes effect only when the gateway is restarted."),
    ] = False


class ConfigReport(Message, frozen=True, kw_only=True):
    """The configuration that new requests use, as `lmgateway check` shows it."""

    settings: Annotated[
        tuple[SettingReport, ...], about("Every setting, and those that are set in named tables.")
    ]


class KnownFault(Message, frozen=True):
    """A fault of LM Studio in a sentence, and what to do about it."""

    message: Annotated[str, about("What is wrong.")]
    remedy: Annotated[str, about("What to do about it.")]


class ModelMemory(Message, frozen=True, kw_only=True):
    """A model in memory."""

    identifier: Annotated[str, about("The instance's identifier.")]
    model_key: str
    size: Annotated[
        int | None, about("The size of its file in bytes. Its context takes memory in addition to this.")
    ]


class StudioReport(Reachability, frozen=True, kw_only=True):
    """One LM Studio. `version` and `models` are null if its SDK can't be reached."""

    box: Annotated[str, about("The name of the LM Studio.")]
    version: Annotated[str | None, about("The version of LM Studio.")]
    is_local: Annotated[bool, about("Whether it runs on the gateway's machine, by its address.")]
    models: Annotated[tuple[ModelMemory, ...] | None, about("The models in memory.")]
    faults: Annotated[
        tuple[KnownFault, ...], about("The known faults of this version, and those in what is loaded.")
    ]


class GatewayReport(Message, frozen=True, kw_only=True):
    """The gateway's process."""

    version: Annotated[str, about("The version of the gateway.")]
    python_version: Annotated[str, about("The version of Python.")]
    packages: Annotated[dict[str, str], about("The versions of the main packages.")]
    platform: Annotated[str, about("The operating system, as Python names it.")]
    uptime: Annotated[float, about("In seconds.")]
    memory: Annotated[int, about("The resident memory of the process in bytes.")]
    running: Annotated[int, about("Requests that run or wait in line.")]
    total_requests: Annotated[int, about("Requests to LM Studio that ended since the gateway started.")]
    total_errors: Annotated[int, about("Those of them that failed, and failed model operations.")]


class MachineReport(Message, frozen=True, kw_only=True):
    """The memory of the gateway's machine, in bytes."""

    memory: Annotated[int, about("All of it.")]
    available: Annotated[int, about("What programs can use without swapping.")]


class SystemOverview(Message, frozen=True, kw_only=True):
    """Versions, memory and known faults."""

    gateway: Annotated[GatewayReport, about("The gateway's process.")]
    machine: Annotated[
        MachineReport | None,
        about("The machine that it runs on; null if the process may not see it, as in the systemd unit."),
    ]
    boxes: Annotated[tuple[StudioReport, ...], about("Each LM Studio behind it.")]
