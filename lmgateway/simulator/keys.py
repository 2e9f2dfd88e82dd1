"""Where handlers find the pretended LM Studio."""

from aiohttp import web

from .engine.studio import Studio

STUDIO = web.AppKey("STUDIO", Studio)
