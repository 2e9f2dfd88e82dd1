"""The `diagnostics` namespace: the server log as it is written."""

from ..engine.studio import Studio
from .endpoints import Channel, ChannelEndpoint, Namespace, Stopped


def namespace(studio: Studio) -> Namespace:
    async def stream_logs(_: None, channel: Channel) -> None:
        with studio.log.listen() as records:
            while True:
                try:
                    record = await channel.until_stopped(records.get())
                except Stopped:
                    return
                data = {"type": "server.log", "content": record.content, "level": record.level.lower()}
                await channel.send({"type": "log", "log": {"timestamp": record.timestamp_ms, "data": data}})

    return Namespace(channels={"streamLogs": ChannelEndpoint(None, stream_logs, stop="stop")})
