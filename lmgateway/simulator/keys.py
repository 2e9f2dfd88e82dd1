"""The application keys of the simulator."""

from aiohttp import web

from .engine.studio import Studio

STUDIO = web.AppKey("STUDIO", Studio)
