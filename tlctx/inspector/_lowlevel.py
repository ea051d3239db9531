"""Stand-ins until tlctx.lowlevel has them."""

from __future__ import annotations

import sys
import traceback
from typing import Any

from tlctx import lowlevel

__all__ = ["is_running", "stack_of"]


def is_running(scope: Any) -> bool:
    found: Any = getattr(lowlevel, "is_running", None)
    return bool(found(scope)) if found else scope.thread in sys._current_frames()


def stack_of(scope: Any) -> list[traceback.FrameSummary]:
    found: Any = getattr(lowlevel, "stack_of", None)
    if found:
        return list(found(scope))
    frame = sys._current_frames().get(scope.thread)
    return list(traceback.extract_stack(frame)) if frame else []
