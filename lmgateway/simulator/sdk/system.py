"""The `system` namespace."""

import os

import msgspec

from ..engine.studio import BUILD, Studio
from .endpoints import Namespace, Rpc


class Variants(msgspec.Struct, frozen=True, rename="camel"):
    model_key: str


def namespace(studio: Studio) -> Namespace:
    async def list_downloaded_models(_: None) -> object:
        return [studio.catalogue.description(model) for model in studio.catalogue]

    async def list_downloaded_model_variants(parameter: Variants) -> object:
        """One entry for each name in the model's `variants`; the models on the simulated disk have none."""
        described = studio.catalogue.description(studio.on_disk(parameter.model_key))
        variants = described.get("variants")
        return [{**described, "modelKey": key} for key in (variants if isinstance(variants, list) else ())]

    async def version(_: None) -> object:
        return {"version": studio.switches.version, "build": BUILD}

    async def info(_: None) -> object:
        return {"pid": os.getpid(), "isDaemon": False, "version": studio.switches.version}

    return Namespace(
        rpcs={
            "listDownloadedModels": Rpc(None, list_downloaded_models),
            "listDownloadedModelVariants": Rpc(Variants, list_downloaded_model_variants),
            "version": Rpc(None, version),
            "info": Rpc(None, info),
        }
    )
