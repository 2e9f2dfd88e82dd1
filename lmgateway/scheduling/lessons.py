"""What a request that ends teaches about the next ones of its model."""

from __future__ import annotations

from ..observe.exchange import Exchange
from .machines import Machines
from .prompt_times import PromptTimes
from .slots import Lease


def learn(lease: Lease, exchange: Exchange, prompt_times: PromptTimes, machines: Machines) -> None:
    """Learn from a request that ends how long prompts take, and how much of the context they need."""
    ticket, count = lease.ticket, exchange.count
    if not lease.instance.is_listed:
        return  # clients choose the names of these
    if exchange.first_token is not None and exchange.sent is not None and exchange.stream:
        prompt_times.learn(ticket.model, ticket.body_bytes, exchange.first_token - exchange.sent)
    if lease.instance.context is not None and count is not None:
        machines.learned(ticket.model).learn(
            ticket.prompt_bytes,
            count.prompt_tokens,
            count.completion_tokens,
            earlier_tokens=ticket.earlier_tokens,
        )
