"""Runs of pytest inside these tests, with the plugin and no other."""

from __future__ import annotations

import textwrap
from collections.abc import Callable

import pytest

SHOP = """
    import threading, pytest
    from tlctx import ContextMiddleware, OutsideRequestError, RequestContext, Scope, per_request

    class Ctx(RequestContext):
        __slots__ = ()
        user: str = "stranger"
        note: str

        @per_request
        def basket(self):
            return ["the real one"]

    ctx = Ctx()

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield f"{ctx.user} has ".encode()
        yield ", ".join(ctx.basket).encode()
"""
CONFTEST = """
    import pytest

    @pytest.fixture
    def tlctx_context():
        from shop import ctx
        return ctx

    @pytest.fixture
    def tlctx_app():
        from shop import app
        return app
"""
Run = Callable[..., pytest.RunResult]


def runner(pytester: pytest.Pytester) -> Run:
    """Runs a file of tests about the shop, and returns what pytest says. Options of the ini file are given by name."""

    def run(tests: str, *arguments: str, conftest: str = CONFTEST, **options: str) -> pytest.RunResult:
        lines = "".join(f"{name} = {value}\n" for name, value in options.items())
        pytester.makefile(".ini", pytest=f"[pytest]\npythonpath = .\n{lines}")
        pytester.makepyfile(shop=textwrap.dedent(SHOP))
        pytester.makeconftest(textwrap.dedent(conftest))
        pytester.makepyfile(test_shop="from shop import *\n" + textwrap.dedent(tests))
        plugins = ["--disable-plugin-autoload", "-p", "tlctx.pytest_plugin", "-p", "no:cacheprovider"]
        return pytester.runpytest_inprocess(*plugins, *arguments)

    return run
