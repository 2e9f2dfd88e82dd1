"""Models are loaded, activated and unloaded over the admin API of a gateway."""

from tests.support.home_fixtures import held, held_home, home, pace

__all__ = ["held", "held_home", "home", "pace"]
