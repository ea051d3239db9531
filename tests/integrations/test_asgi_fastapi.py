"""tlctx.asgi under FastAPI: what it runs for a request sees its scope, and nothing else does."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import ctx, http_scope, path_as_user, serve, within
from support.requests import Recorder

if TYPE_CHECKING:
    import fastapi
else:
    # The newest Python has it later than the others.
    fastapi = importlib.import_module("fastapi") if importlib.util.find_spec("fastapi") else None

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.mark.skipif(not importlib.util.find_spec("fastapi"), reason="needs FastAPI")
def test_endpoints_dependencies_and_background_tasks_of_fastapi_see_the_request() -> None:
    log: list[Any] = []

    def sync_dependency() -> Iterator[str]:
        log.append(f"sync {ctx.user}")
        yield ctx.user
        log.append(f"sync ends {ctx.user}")

    async def async_dependency(first: str = fastapi.Depends(sync_dependency)) -> AsyncIterator[str]:
        ctx.user = f"{first}!"
        yield ctx.user
        log.append(f"async ends {ctx.user}")

    app = fastapi.FastAPI()

    @app.get("/plain")
    def plain(tasks: fastapi.BackgroundTasks, user: str = fastapi.Depends(async_dependency)) -> str:
        ctx.enter_context(Recorder(log))
        tasks.add_task(lambda: log.append(f"background {ctx.user}"))
        return f"{user} {ctx.user}"

    @app.get("/coroutine")
    async def coroutine(tasks: fastapi.BackgroundTasks, user: str = fastapi.Depends(async_dependency)) -> str:
        return plain(tasks, user)

    for path in ("/plain", "/coroutine"):
        log.clear()
        assert serve(within(app, path_as_user), http_scope(path)).body == f'"{path}! {path}!"'.encode()
        assert log[0] == f"sync {path}"
        assert log[-1] == (None, f"{path}!")
        assert sorted(log[1:-1]) == sorted([f"async ends {path}!", f"sync ends {path}!", f"background {path}!"])
