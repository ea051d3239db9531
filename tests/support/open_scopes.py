"""The scopes that are open in this process, whoever holds them."""

from __future__ import annotations

import gc

from tlctx import Scope


def find_open_scopes(besides: Scope | None) -> list[str]:
    """The open scopes that the whole heap has, but for one; those that are garbage are collected first."""
    for _ in range(2):  # what a finalizer of the first one drops goes with the second
        gc.collect()
    return [str(item) for item in gc.get_objects() if type(item) is Scope and not item.ended and item is not besides]
