"""How SDK clients refer to a loaded instance."""

import msgspec

from ..engine.catalogue import Domain
from ..engine.faults import WrongDomain
from ..engine.instance import Instance
from ..engine.memory import Memory


class Query(msgspec.Struct, frozen=True, tag_field="type", tag="query", rename="camel"):
    """`{"type":"query","query":{"identifier"?,"path"?,"vision"?}}`"""

    query: dict[str, object]


class Reference(msgspec.Struct, frozen=True, tag_field="type", tag="instanceReference", rename="camel"):
    """Refers to one instance, and never to a later one of the same name."""

    instance_reference: str


Specifier = Query | Reference


def pick(memory: Memory, specifier: Specifier, domain: Domain) -> Instance:
    """Raises NothingMatches, InstanceUnloaded or WrongDomain."""
    if isinstance(specifier, Query):
        return memory.matching(specifier.query, domain)
    instance = memory.referred(specifier.instance_reference)
    if instance.model.type != domain:
        raise WrongDomain(instance.identifier, actual=instance.model.type, expected=domain)
    return instance
