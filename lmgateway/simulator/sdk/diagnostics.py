"""The `diagnostics` namespace: the server log as it is written, prompts and answers, the engine's own log."""

from ..engine.studio import Studio
from .endpoints import Channel, ChannelEndpoint, Namespace, Stopped


def namespace(studio: Studio) -> Namespace:
    async def stream_logs(_: None, channel: Channel) -> None:
        with studio.log.listen() as events:
            while True:
                try:
                    event = await channel.until_stopped(events.get())
                except Stopped:
                    return
                await channel.send({"type": "log", "log": event})

    return Namespace(channels={"streamLogs": ChannelEndpoint(None, stream_logs, stop="stop")})
