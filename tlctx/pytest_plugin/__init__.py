"""A pytest plugin: a scope for a test, a client, overridden values, and a guard against scopes that are left open.

pytest loads this module in each run in whose environment tlctx is installed. So it imports no framework, and adds its
hooks for running tests, and the observer, only where a test asks for one of the fixtures or for the guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tlctx import RequestContext, Scope
    from tlctx.pytest_plugin._override import Overrides
    from tlctx.pytest_plugin._running import Running

__all__ = [
    "tlctx_app",
    "tlctx_client",
    "tlctx_context",
    "tlctx_guard",
    "tlctx_open_scope",
    "tlctx_override",
    "tlctx_scope",
]

MODES = ("fixtures", "always", "never")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what the ini file may say."""
    parser.addini(
        "tlctx_guard",
        "which tests fail if they leave a scope open: those that use a fixture of tlctx (fixtures, the default), "
        "all (always), or none (never)",
        default="fixtures",
    )
    parser.addini(
        "tlctx_guard_wait", "for how many seconds the guard waits for scopes on other threads to end", default="2"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Declare the markers, and start the guard if it is for all tests."""
    config.addinivalue_line("markers", "tlctx_scope(**values): open a scope for the test, with these values")
    config.addinivalue_line(
        "markers", "tlctx_guard(mode): in place of the ini option tlctx_guard: 'fixtures', 'always', or 'never'"
    )
    mode = config.getini("tlctx_guard")
    if mode not in MODES:
        raise pytest.UsageError(f"tlctx_guard is {mode!r}: it has to be one of {', '.join(MODES)}")
    if mode == "always":
        _hooks(config)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Do what the markers of a test say."""
    if item.get_closest_marker("tlctx_guard"):
        from tlctx.pytest_plugin._items import mode_of

        mode_of(item)  # which may be an error
        _hooks(item.config)
    if item.get_closest_marker("tlctx_scope"):
        from tlctx.pytest_plugin._items import add_fixture, values_of_markers

        values_of_markers(item)
        add_fixture(item, "tlctx_scope")


def _hooks(config: pytest.Config) -> Running:
    """The hooks for tests that use tlctx, added once."""
    from tlctx.pytest_plugin._running import Running

    name = "tlctx.pytest_plugin._running"
    running: Running | None = config.pluginmanager.get_plugin(name)
    if running is None:
        config.pluginmanager.register(running := Running(config), name)
    return running


@pytest.fixture(scope="session")
def tlctx_context() -> RequestContext:
    """The context that the fixtures of tlctx are for. Override it to return yours; without that it is `tlctx.ctx`."""
    from tlctx import ctx

    return ctx


@pytest.fixture
def tlctx_guard(request: pytest.FixtureRequest) -> None:
    """Fails the test if it leaves a scope open, or a thread keeps one. Comes with each fixture that follows."""
    _hooks(request.config).start_guard(request.node, by_fixture=True)


@pytest.fixture
def tlctx_open_scope(
    request: pytest.FixtureRequest, tlctx_guard: None, tlctx_context: RequestContext
) -> Iterator[Callable[..., Scope]]:
    """`tlctx_open_scope(user="ann")` opens a scope for the rest of the test, with these values, and returns it."""
    from tlctx.pytest_plugin._scopes import Scopes

    scopes = Scopes(tlctx_context, request.node)
    _hooks(request.config).scopes = scopes
    with scopes:
        yield scopes.open


@pytest.fixture
def tlctx_scope(request: pytest.FixtureRequest, tlctx_open_scope: Callable[..., Scope]) -> Scope:
    """A scope that is open for the whole test. `@pytest.mark.tlctx_scope(user="ann")` gives it values."""
    from tlctx.pytest_plugin._items import values_of_markers

    return tlctx_open_scope(**values_of_markers(request.node))


@pytest.fixture
def tlctx_override(tlctx_guard: None, tlctx_context: RequestContext) -> Iterator[Overrides]:
    """`tlctx_override(user=ann)`: whatever runs in a request of this test reads this value, on any thread."""
    from tlctx.pytest_plugin._override import Overrides

    with Overrides(tlctx_context) as overrides:
        yield overrides


@pytest.fixture
def tlctx_app(request: pytest.FixtureRequest) -> Any:
    """The WSGI application that `tlctx_client` calls. Override it, or have a fixture `app`."""
    try:
        return request.getfixturevalue("app")
    except pytest.FixtureLookupError as error:
        if error.argname != "app":
            raise
    raise pytest.UsageError("tlctx_client needs an application: have a fixture `tlctx_app`, or `app`, return it")


@pytest.fixture
def tlctx_client(tlctx_guard: None, tlctx_app: Any, tlctx_context: RequestContext) -> Iterator[Any]:
    """A test client of `tlctx_app`: its own `test_client()`, as Flask has; else werkzeug's, or WebTest's."""
    from tlctx.pytest_plugin._clients import client_of

    with client_of(tlctx_app, tlctx_context) as client:
        yield client
