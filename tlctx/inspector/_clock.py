"""The clock of `time.monotonic` against that of the calendar.

A request has begun at one time, whenever somebody looks. So the difference of the two clocks is measured once, and
again only when the calendar's was set.
"""

from __future__ import annotations

from time import monotonic, time

__all__ = ["unix_time"]

_SET = 0.1
"""Seconds: by less than that the two differ between two readings without anybody having set one."""
_offset = [time() - monotonic()]


def unix_time(reading: float) -> float:
    """The time in Unix seconds at which `time.monotonic` gave this reading."""
    found = time() - monotonic()
    if abs(found - _offset[0]) > _SET:
        _offset[0] = found
    return reading + _offset[0]
