"""Locks on open files. The kernel releases a process's locks when the process ends, however it does."""

from __future__ import annotations

import os
import sys

if sys.platform == "win32":
    import msvcrt

    # Beyond the content, because on Windows no other process can read a locked byte.
    _LOCKED_BYTE = 1 << 30

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock the file; return False if another process has it. Windows has no shared locks here."""
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def try_lock(descriptor: int, *, shared: bool = False) -> bool:
        """Lock the file; return False if another process has it. Raises OSError if files can't be locked.

        Shared locks exclude only exclusive ones.
        """
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
