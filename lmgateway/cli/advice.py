"""What to do about an LM Studio that isn't there, or doesn't let us in."""

from __future__ import annotations

from collections.abc import Iterator

from . import machine

MAKE_A_TOKEN = "Developer > Server Settings > Manage Tokens in LM Studio makes one"  # noqa: S105 - it is none
START_LM_STUDIO = "Start LM Studio's server: with the switch on its Developer page, or `lms server start`."
_IN_WSL = (
    "This is WSL: for an LM Studio on Windows switch on its Serve on Local Network, and set "
    "lmstudio.base_url to Windows' address, which `ip route show default` tells."
)
_IN_CONTAINER = (
    "This is a container: in Docker, an LM Studio on the machine that runs it is at "
    "http://host.docker.internal:1234 (lmstudio.base_url)."
)


def where_it_may_be() -> Iterator[str]:
    """Yield what somebody may not think of who runs the gateway inside of something."""
    if machine.is_wsl():
        yield _IN_WSL
    if machine.is_container():
        yield _IN_CONTAINER
