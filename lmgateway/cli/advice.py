"""What to do when LM Studio doesn't answer or refuses the gateway."""

from __future__ import annotations

from collections.abc import Iterator

from . import machine

MAKE_A_TOKEN = "Create one under Developer > Server Settings > Manage Tokens in LM Studio"  # noqa: S105 - advice
START_LM_STUDIO = "Start LM Studio's server with the switch on its Developer page or with `lms server start`."
_IN_WSL = (
    "This is WSL. If LM Studio runs on Windows, switch on its Serve on Local Network, and set "
    "{} to Windows' address, which `ip route show default` shows."
)
_IN_CONTAINER = (
    "This is a container. If LM Studio runs on Docker's host, set {} to http://host.docker.internal:1234."
)


def address_hints(setting: str = "lmstudio.base_url") -> Iterator[str]:
    """Yield LM Studio's likely address if the gateway runs in WSL or in a container.

    `setting` is where to set it.
    """
    if machine.is_wsl():
        yield _IN_WSL.format(setting)
    if machine.is_container():
        yield _IN_CONTAINER.format(setting)
