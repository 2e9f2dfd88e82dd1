"""Which models are in memory: decisions without I/O, and the owner that has them carried out."""
