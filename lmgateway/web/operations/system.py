"""The operations of /admin/config and /debug/system."""

from __future__ import annotations

from ... import __version__
from ...schema.system import (
    ConfigReport,
    GatewayReport,
    KnownFault,
    MachineReport,
    ModelMemory,
    SettingReport,
    StudioReport,
    SystemOverview,
)
from .. import system
from .examples import BOX, MODEL
from .operation import Operation, answer

TAG = "System"

_CONFIG = ConfigReport(
    settings=(
        SettingReport(path="lmstudio.base_url", value='"http://127.0.0.1:1234"', origin="default"),
        SettingReport(path="server.port", value="8080", origin="environment (GATEWAY_PORT)"),
        SettingReport(path="auth.api_key", value='"********"', origin="/etc/lmgateway/config.toml"),
    )
)
_SYSTEM = SystemOverview(
    gateway=GatewayReport(
        version=__version__,
        python_version="3.13.5",
        packages={"aiohttp": "3.14.5", "lmstudio": "1.5.0"},
        platform="linux",
        uptime=93784.2,
        memory=71_303_168,
        running=1,
        total_requests=120,
        total_errors=1,
    ),
    machine=MachineReport(memory=34_359_738_368, available=12_884_901_888),
    boxes=(
        StudioReport(
            box=BOX,
            reachable=True,
            latency_ms=4,
            base_url="http://127.0.0.1:1234",
            version="0.4.19",
            is_local=True,
            models=(ModelMemory(identifier=MODEL, model_key=MODEL, size=4683073184),),
            faults=(
                KnownFault(
                    "LM Studio 0.4.19 has a known fault: responses may end after one sentence.",
                    "Install another version of LM Studio.",
                ),
            ),
        ),
    ),
)

SYSTEM_OPERATIONS = (
    Operation(
        "GET",
        "/admin/config",
        system.configuration,
        scope="admin",
        tag=TAG,
        summary="Get the configuration in force",
        description=(
            "Every setting with its value and its source, as `lmgateway check` prints them. Secrets are "
            "masked. After a reload, the values are the new ones."
        ),
        answers={200: answer("The settings.", _CONFIG)},
    ),
    Operation(
        "GET",
        "/debug/system",
        system.system,
        scope="observe",
        tag=TAG,
        summary="Get versions, memory and known faults",
        description="LM Studio is asked, which takes a few seconds if it doesn't answer.",
        answers={200: answer("The gateway, its machine, and LM Studio.", _SYSTEM)},
    ),
)
