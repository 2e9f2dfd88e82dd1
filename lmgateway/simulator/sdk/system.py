"""The `system` namespace."""

import os

from ..engine.studio import BUILD, Studio
from .endpoints import Namespace, Rpc


def namespace(studio: Studio) -> Namespace:
    async def list_downloaded_models(_: None) -> object:
        return [studio.catalogue.description(model) for model in studio.catalogue]

    async def version(_: None) -> object:
        return {"version": studio.switches.version, "build": BUILD}

    async def info(_: None) -> object:
        return {"pid": os.getpid(), "isDaemon": False, "version": studio.switches.version}

    return Namespace(
        rpcs={
            "listDownloadedModels": Rpc(None, list_downloaded_models),
            "version": Rpc(None, version),
            "info": Rpc(None, info),
        }
    )
