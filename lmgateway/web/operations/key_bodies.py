"""The request bodies of /admin/keys for the OpenAPI document: merge patches, in which a field may be null."""

from __future__ import annotations

from msgspec import Struct, defstruct, field, structs

from ...schema.keys import KeySettings, NewKey


def _with_nulls(name: str, kind: type[Struct], doc: str) -> type[Struct]:
    """Return the type with fields that may be null, but for the required ones."""
    fields = [
        (info.name, info.type, field(name=info.encode_name))
        if info.required
        else (info.name, info.type | None, field(name=info.encode_name, default=None))
        for info in structs.fields(kind)
    ]
    return defstruct(
        name,
        fields,
        namespace={"__doc__": doc},
        frozen=True,
        kw_only=True,
        omit_defaults=True,
        forbid_unknown_fields=True,
    )


NewKeyBody = _with_nulls("NewKeyBody", NewKey, "A key to make. `null` is the same as leaving a field out.")
KeyPatch = _with_nulls("KeyPatch", KeySettings, "A merge patch. `null` sets a field back to its default.")
