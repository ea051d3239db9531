"""What distinguishes one error from another, in words that are the same for both implementations."""

from __future__ import annotations

import re


def text_of(error: BaseException) -> str:
    return re.sub(r"0x[0-9a-f]+|tlctx\._core\.(_py\.\w+|_\w+)\.|\b_(local_c|accelerator)\.", "", str(error))


def seen_before(error: BaseException) -> BaseException | None:
    """The error that a traceback shows with this one."""
    return error.__cause__ or (None if error.__suppress_context__ else error.__context__)
