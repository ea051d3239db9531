"""The middleware under gunicorn's threaded worker, over real sockets."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from typing import TYPE_CHECKING

import pytest
from support.processes import get, gunicorn

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APP = '''
from tlctx import ContextMiddleware, RequestContext, Scope


class Ctx(RequestContext):
    user: str = "nobody"


ctx = Ctx()
log = []


def end(path):
    log.append(path)
    if path == "/failing-teardown":
        raise RuntimeError("teardown")


def app(environ, start_response):
    path = environ["PATH_INFO"]
    fresh = ctx.user == "nobody" and list(ctx) == ["user"]
    ctx.user = path
    if path == "/log":
        start_response("200 OK", [])
        return [" ".join(log).encode()]
    ctx.callback(end, path)
    if path == "/raise":
        raise RuntimeError("view")
    if path == "/stop":
        raise StopIteration
    start_response("200 OK" if fresh else "500 Not fresh", [("Content-Type", "text/plain")])
    if path == "/stream":
        return (ctx.user.encode() for _ in range(3))
    if path == "/raise-in-stream":
        return (1 / 0 for _ in range(3))
    if path == "/file":
        return environ["wsgi.file_wrapper"](open(__file__, "rb"))
    if path == "/none":
        return None
    return [ctx.user.encode()]


def probe(environ, start_response):
    """Answers what is on the thread where no request of the context runs."""
    if environ["PATH_INFO"] == "/probe":
        start_response("200 OK", [])
        return [f"{len(ctx._local__impl.dicts)} {Scope.current(ctx)}".encode()]
    return served(environ, start_response)


served = ContextMiddleware(app, ctx)
'''


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("app")
    (directory / "served_app.py").write_text(APP)
    return directory


@pytest.fixture(scope="module", params=["plain", "preload"])
def port(directory: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    with gunicorn("served_app:probe", *(["--preload"] if request.param == "preload" else []), cwd=directory) as port:
        yield port


@pytest.mark.parametrize(
    ("path", "status"),
    [("/a", 200), ("/stream", 200), ("/file", 200), ("/raise", 500), ("/stop", None), ("/none", 500),
     ("/raise-in-stream", 500), ("/failing-teardown", 500)],
)  # fmt: skip
def test_whatever_a_request_does_its_end_comes_once_and_the_thread_is_clean(
    port: int, path: str, status: int | None
) -> None:
    ends_before = get(port, "/log")[2].split().count(path.encode())
    if status is None:  # gunicorn's own answer to a StopIteration is to close the connection
        with pytest.raises(RemoteDisconnected):
            get(port, path)
    else:
        answer = get(port, path)
        assert answer[0] == status
    if path == "/stream":
        assert answer[2] == b"/stream" * 3
    if path == "/file":
        assert answer[2].decode() == APP
    for _ in range(4):
        assert get(port, "/probe")[2] == b"0 None"
    assert get(port, "/log")[2].split().count(path.encode()) == ends_before + 1


def test_many_requests_at_once_each_see_their_own(directory: Path) -> None:
    paths = [f"/user-{number}" for number in range(200)]
    with gunicorn("served_app:probe", cwd=directory, threads=4) as port, ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda path: get(port, path), paths))
    assert [(status, body.decode()) for status, _, body in answers] == [(200, path) for path in paths]
