"""Every private name of aiohttp and yarl that the gateway uses, behind methods of its own.

Private names come and go in patch releases, so they stand here and nowhere else: tests/aiohttp_private names
each one and fails when it is gone. docs/how-it-works.md lists the faults of aiohttp that are mended here.
"""
