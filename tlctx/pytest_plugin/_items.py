"""What the plugin reads of a test, and adds to it."""

from __future__ import annotations

from typing import Any

import pytest

__all__ = ["add_fixture", "mode_of", "values_of_markers"]


def add_fixture(item: pytest.Item, name: str) -> None:
    """Have `item` use the fixture `name` too, before its own ones, and after those of a module, say."""
    names: list[str] = getattr(item, "fixturenames", [])
    if name in names:
        names.remove(name)  # an argument of the test, perhaps after those that need the scope
    known: dict[str, Any] = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    wider = [place for place, other in enumerate(names, 1) if other in known and known[other][-1].scope != "function"]
    names.insert(max(wider, default=0), name)


def values_of_markers(item: pytest.Item) -> dict[str, Any]:
    """The values of all its markers `tlctx_scope`; the closest one counts."""
    values: dict[str, Any] = {}
    for marker in reversed(list(item.iter_markers("tlctx_scope"))):
        if marker.args:
            raise pytest.UsageError(
                f"{item.nodeid}: the marker tlctx_scope takes values by name: tlctx_scope(user=...)"
            )
        values.update(marker.kwargs)
    return values


def mode_of(item: pytest.Item) -> str:
    """Whether the guard watches this test: "fixtures", "always" or "never"."""
    marker = item.get_closest_marker("tlctx_guard")
    if marker is None:
        return str(item.config.getini("tlctx_guard"))
    if marker.kwargs or len(marker.args) != 1 or marker.args[0] not in ("fixtures", "always", "never"):
        raise pytest.UsageError(f"{item.nodeid}: write tlctx_guard('always'), ('fixtures'), or ('never')")
    return str(marker.args[0])
