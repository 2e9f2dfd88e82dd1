"""A box is tested behind a gateway, beside a pretend LM Studio."""

from tests.support.home_fixtures import held, held_home, home, pace

__all__ = ["held", "held_home", "home", "pace"]
