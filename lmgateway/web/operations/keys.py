"""The operations of /admin/keys."""

from __future__ import annotations

from ...errors import Conflict, KeyNotFound, StateNotSaved
from .. import keys
from . import key_examples as examples
from .error_kinds import OF_JSON_BODIES
from .operation import Operation, Parameter, answer, json_of

TAG = "Keys"

_NAME = Parameter(name="name", place="path", description="The key's name.", example=examples.NAME)

KEY_OPERATIONS = (
    Operation(
        "GET",
        "/admin/keys",
        keys.list_keys,
        scope="admin",
        tag=TAG,
        summary="List the named keys",
        answers={200: answer("All keys, without their secrets.", examples.KEYS)},
    ),
    Operation(
        "POST",
        "/admin/keys",
        keys.make,
        scope="admin",
        tag=TAG,
        summary="Make a named key",
        description=(
            "While the gateway has no key at all, the first one can be made without a key from its own "
            "machine. It must have the scope `admin`. From then on every request needs a key."
        ),
        body=json_of(examples.NEW),
        answers={201: answer("The key. `key` is the secret, which is shown only now.", examples.MADE)},
        raises=(*OF_JSON_BODIES, Conflict, StateNotSaved),
    ),
    # Before {name}: the router takes the first path that fits.
    Operation(
        "GET",
        "/admin/keys/self",
        keys.show_own,
        scope="any",
        tag=TAG,
        summary="Get one's own key",
        description=(
            "Any caller may ask, with any scopes. `used` has what counts against the limits of a minute, and "
            "the tokens of today; `left` has what each limit leaves."
        ),
        answers={200: answer("The caller's key, what it has used, and what is left.", examples.OWN)},
    ),
    Operation(
        "GET",
        "/admin/keys/{name}",
        keys.show,
        scope="admin",
        tag=TAG,
        summary="Get a named key",
        parameters=(_NAME,),
        answers={200: answer("The key, without its secret.", examples.KEY)},
        raises=(KeyNotFound,),
    ),
    Operation(
        "PATCH",
        "/admin/keys/{name}",
        keys.change,
        scope="admin",
        tag=TAG,
        summary="Change a named key",
        description=(
            "The body is a merge patch (RFC 7396): fields that it leaves out stay, and `null` sets a field "
            "back to its default. The change applies to the next request."
        ),
        parameters=(_NAME,),
        body=json_of(examples.PATCH),
        answers={200: answer("The key after the change.", examples.KEY)},
        raises=(*OF_JSON_BODIES, KeyNotFound, Conflict, StateNotSaved),
    ),
    Operation(
        "DELETE",
        "/admin/keys/{name}",
        keys.revoke,
        scope="admin",
        tag=TAG,
        summary="Revoke a named key",
        description="Its running requests are ended within a second.",
        parameters=(_NAME,),
        answers={200: answer("The key is no longer accepted.", examples.REVOKED)},
        raises=(KeyNotFound, Conflict, StateNotSaved),
    ),
    Operation(
        "POST",
        "/admin/keys/{name}/rotate",
        keys.rotate,
        scope="admin",
        tag=TAG,
        summary="Replace a key's secret",
        description=(
            "With `graceSeconds`, the previous secret stays valid for so long. Otherwise, and at a second "
            "rotation, it ends at once, and so do the requests that were made with it."
        ),
        parameters=(_NAME,),
        body=json_of(examples.ROTATE),
        answers={200: answer("The key. `key` is the new secret.", examples.MADE)},
        raises=(*OF_JSON_BODIES, KeyNotFound, StateNotSaved),
    ),
)
