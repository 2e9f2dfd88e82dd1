"""Every use of a private name of aiohttp or yarl, behind public methods.

Patch releases change private names. They are used only here, and tests/aiohttp_private fails if one of them
is gone. docs/how-it-works.md lists the bugs of aiohttp that are worked around here.
"""
