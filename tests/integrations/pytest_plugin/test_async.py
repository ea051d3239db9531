"""The scopes of async tests, under pytest-asyncio and anyio."""

from __future__ import annotations

import pytest
from support.pytest_runs import Run

pytest.importorskip("anyio", reason="needs anyio")
pytest.importorskip("pytest_asyncio", reason="needs pytest-asyncio")
pytestmark = pytest.mark.servers

ASYNCIO = "-p", "pytest_asyncio.plugin"


@pytest.mark.parametrize(
    ("plugin", "options", "mark"),
    [
        (ASYNCIO, {"asyncio_mode": "auto"}, ""),
        (ASYNCIO, {"asyncio_mode": "strict"}, "@pytest.mark.asyncio"),
        (("-p", "anyio.pytest_plugin"), {}, "@pytest.mark.anyio"),
    ],
    ids=["asyncio-auto", "asyncio-strict", "anyio"],
)
def test_the_scope_is_that_of_the_coroutine_of_an_async_test(
    run: Run, plugin: tuple[str, str], options: dict[str, str], mark: str
) -> None:
    run(
        f"""
        import asyncio
        closed = []

        @pytest.fixture
        def anyio_backend():
            return "asyncio"

        @pytest.fixture
        def plain():
            ctx.note = "assigned"

        {mark}
        @pytest.mark.tlctx_scope(user="ann")
        async def test_in_a_task(plain, tlctx_scope, tlctx_open_scope):
            assert (ctx.user, ctx.note) == ("ann", "assigned")
            assert await asyncio.to_thread(lambda: ctx.user) == "ann"
            assert await asyncio.create_task(read()) == "ann"
            with ctx.scope(user="bob"):
                assert await read() == "bob"
            assert await read() == "ann"
            tlctx_open_scope(user="cleo")
            assert await read() == "cleo"
            ctx.callback(closed.append, "cleo's")

        async def read():
            await asyncio.sleep(0)
            return ctx.user

        {mark}
        async def test_outside():
            assert closed == ["cleo's"]
            assert Scope.current(ctx) is None
            with ctx.scope():
                assert ctx.user == "stranger"
        """,
        *plugin,
        **(options and {**options, "asyncio_default_fixture_loop_scope": "function"}),
    ).assert_outcomes(passed=2)


def test_an_async_fixture_runs_outside_of_the_scope_and_may_send_requests(run: Run) -> None:
    run(
        """
        import pytest_asyncio
        from tlctx.asgi import ContextMiddleware as Middleware

        async def served(scope, receive, send):
            served.users.append(ctx.user)

        served.users = []

        async def request():
            await Middleware(served, ctx)({"type": "http", "method": "GET", "path": "/"}, None, None)

        @pytest_asyncio.fixture
        async def client():
            assert Scope.current(ctx) is None
            await request()
            yield request
            await request()

        @pytest.mark.tlctx_scope(user="ann")
        async def test_requests(client):
            assert ctx.user == "ann"
            await client()
            assert ctx.user == "ann"

        def test_all_were_served():
            assert served.users == ["stranger"] * 3
        """,
        *ASYNCIO, asyncio_mode="auto", asyncio_default_fixture_loop_scope="function",
    ).assert_outcomes(passed=2)  # fmt: skip


def test_the_teardown_of_an_async_test_learns_of_its_exception(run: Run) -> None:
    run(
        """
        learnt = []

        class Transaction:
            def __enter__(self): ...
            def __exit__(self, kind, error, traceback):
                learnt.append(kind)

        async def test_fails(tlctx_scope):
            ctx.enter_context(Transaction())
            raise KeyError

        def test_learnt():
            assert learnt == [KeyError]
        """,
        *ASYNCIO, asyncio_mode="auto", asyncio_default_fixture_loop_scope="function",
    ).assert_outcomes(passed=1, failed=1)  # fmt: skip
