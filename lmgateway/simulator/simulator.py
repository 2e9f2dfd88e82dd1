"""The simulated LM Studio with its network APIs."""

from aiohttp import web

from . import rest, sdk
from .engine.studio import Studio
from .keys import STUDIO

LARGEST_BODY_BYTES = 256 * 1024 * 1024


class Simulator(Studio):
    """Speaks HTTP and WebSocket as LM Studio does, all on one port."""

    def make_app(self) -> web.Application:
        """Return the application. To be called once: the Simulator ends with it."""
        app = web.Application(
            client_max_size=LARGEST_BODY_BYTES,
            middlewares=[rest.render_faults, rest.require_token, rest.log_request],
        )
        app[STUDIO] = self
        sdk.add_routes(app.router)
        rest.add_routes(app.router)
        app.on_response_prepare.append(rest.add_headers)
        app.on_cleanup.append(_close)
        return app


async def _close(app: web.Application) -> None:
    await app[STUDIO].close()
