"""The hooks around tests that use tlctx: they are there as soon as one does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tlctx.pytest_plugin._guard import Guard
from tlctx.pytest_plugin._items import mode_of
from tlctx.pytest_plugin._scopes import is_async, is_async_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx.pytest_plugin._scopes import Scopes

__all__ = ["Running"]


class Running:
    """What goes on around the test that runs: its guard, and the scopes of its fixtures."""

    def __init__(self, config: pytest.Config) -> None:
        try:
            self._wait = float(config.getini("tlctx_guard_wait"))
        except ValueError as error:
            raise pytest.UsageError(f"tlctx_guard_wait has to be a number of seconds: {error}") from None
        self._guard: Guard | None = None
        self.scopes: Scopes | None = None

    def start_guard(self, item: pytest.Item, *, by_fixture: bool) -> None:
        """Watch the test if it is one that the guard is for."""
        watches = ("fixtures", "always") if by_fixture else ("always",)
        if self._guard is None and mode_of(item) in watches:
            self._guard = Guard(self._wait)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        """Start the guard that no fixture asks for."""
        self.start_guard(item, by_fixture=False)
        return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
        """Leave out what a fixture opens for more than one test, and run async ones outside the test's scopes."""
        if self._guard is not None and fixturedef.scope != "function":
            with self._guard.looking_away():
                return (yield)
        if self.scopes is not None and is_async(fixturedef.func):
            with self.scopes.aside():
                return (yield)
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: Any) -> Iterator[None]:
        """Have the test's function run in the scopes of its fixtures, and tell them of its exception."""
        scopes = self.scopes
        if scopes is None:
            return (yield)
        if is_async_test(item):
            with scopes.around(item):
                return (yield)
        try:
            return (yield)
        except BaseException as error:
            scopes.fail(error)
            raise

    @pytest.hookimpl(wrapper=True, trylast=True)  # so what is logged meanwhile is in the report
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Ask the guard when all fixtures of the test are done."""
        try:
            result = yield
        except BaseException as error:
            if left := self._finish():
                error.add_note(left)
            raise
        if left := self._finish():
            pytest.fail(left, pytrace=False)
        return result

    def _finish(self) -> str:
        guard, self._guard, self.scopes = self._guard, None, None
        return "" if guard is None else guard.finish()
