"""The `files` namespace: images sent before a prompt. They aren't stored."""

import uuid

import msgspec

from .endpoints import Namespace, Rpc


class Upload(msgspec.Struct, frozen=True, rename="camel"):
    name: str
    content_base64: bytes
    """Already decoded: bytes are base64 in msgspec's JSON."""


def namespace() -> Namespace:
    return Namespace(rpcs={"uploadFileBase64": Rpc(Upload, _upload)})


async def _upload(upload: Upload) -> object:
    size = len(upload.content_base64)
    return {"identifier": str(uuid.uuid4()), "fileType": "image", "sizeBytes": size}
