"""Which models are in memory: the gateway's rule beside two others, by a virtual clock."""
