"""A run without the benchmarks leaves their tests unread: these import packages that only the benchmarks need."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    return True if "not benchmarks" in config.option.markexpr else None
