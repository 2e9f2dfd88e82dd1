"""The operations of /admin/boxes."""

from __future__ import annotations

from msgspec import structs

from ...errors import BoxNotFound, Conflict
from ...schema.boxes import BoxAnswer, BoxList, BoxReport
from .. import boxes
from .examples import BOX, EMBEDDING_MODEL, MODEL
from .operation import Operation, Parameter, answer

TAG = "Boxes"

_NAME = Parameter(
    name="name", place="path", description="The name of the LM Studio in the configuration.", example=BOX
)
_UP = BoxReport(
    box=BOX,
    state="up",
    latency_ms=4,
    version="0.4.19",
    models=(MODEL, EMBEDDING_MODEL),
    running=2,
    waiting=0,
)
_ATTIC = BoxReport(
    box="attic", state="down", latency_ms=None, version="0.4.19", models=(MODEL,), running=0, waiting=0
)


def _changed(message: str, **fields: str) -> BoxAnswer:
    return BoxAnswer(**structs.asdict(_UP) | fields, message=message)


BOX_OPERATIONS = (
    Operation(
        "GET",
        "/admin/boxes",
        boxes.list_boxes,
        scope="admin",
        tag=TAG,
        summary="List the LM Studios behind the gateway",
        description=(
            "Each is asked for its version and its models, for two seconds at most. One that doesn't answer, "
            "or is left alone because it is idle, has those that were known last."
        ),
        answers={200: answer("All LM Studios, also the only one.", BoxList(boxes=(_UP, _ATTIC)))},
    ),
    Operation(
        "POST",
        "/admin/boxes/{name}/drain",
        boxes.drain,
        scope="admin",
        tag=TAG,
        summary="Send an LM Studio no more requests than necessary",
        description=(
            "Only requests that can go nowhere else are still sent to it, such as those that continue one of "
            "its responses. What runs there goes on. It stays so until `resume`, or a restart of the gateway."
        ),
        parameters=(_NAME,),
        answers={
            200: answer(
                "The LM Studio after the change.",
                _changed(f"{BOX} drains: it gets only requests that can go nowhere else.", state="draining"),
            )
        },
        raises=(BoxNotFound,),
    ),
    Operation(
        "POST",
        "/admin/boxes/{name}/resume",
        boxes.resume,
        scope="admin",
        tag=TAG,
        summary="End a drain",
        parameters=(_NAME,),
        answers={200: answer("The LM Studio after the change.", _changed(f"{BOX} gets requests."))},
        raises=(BoxNotFound,),
    ),
    Operation(
        "POST",
        "/admin/boxes/{name}/wake",
        boxes.wake,
        scope="admin",
        tag=TAG,
        summary="Wake the machine of an LM Studio",
        description=(
            "A magic packet is sent, and again every ten seconds, until LM Studio answers, or the box's "
            "`wake_timeout_ms` is over. The response doesn't wait for that. Without a `wake_mac` it is 409."
        ),
        parameters=(_NAME,),
        answers={
            200: answer("The LM Studio. `message` says if it is up already.", _changed(f"{BOX} is up."))
        },
        raises=(BoxNotFound, Conflict),
    ),
)
