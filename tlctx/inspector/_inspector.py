"""Inspector: the view as an object, and as an application to mount."""

from __future__ import annotations

import atexit
import hashlib
import hmac
import os
import weakref
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any

from tlctx import RequestContext
from tlctx.inspector import _asgi, _local, _wsgi
from tlctx.inspector._access import Access
from tlctx.inspector._clock import unix_time
from tlctx.inspector._merge import merged
from tlctx.inspector._recorder import Recorder
from tlctx.inspector._wire import fitted, to_json
from tlctx.inspector._workers import Workers
from tlctx.lowlevel import add_observer, check_context, check_field, remove_observer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from tlctx.inspector._access import Authorize
    from tlctx.inspector._model import Frame, View
    from tlctx.inspector._redis import Machines

__all__ = ["Inspector"]


class Inspector:
    """A live view of the requests of `ctx`, of all workers beside this one, and with `redis` of all machines.

    It is a WSGI application, and `asgi` an ASGI one; `mount` puts it in front of another. It lets in who sends `token`
    in the header `Authorization`, as Bearer or as the password of Basic; or those for whom `authorize` returns True, a
    function of the environ or the ASGI scope. `show` names the fields whose values are shown; of all others, the names
    alone are.

    `redis` is the address of a Redis, `redis://...`; it needs redis-py. `directory` is where the workers make their
    private directory, by default among the temporary files.

    Raises TypeError or ValueError for a token, or a function, that can't be used, and AttributeError if the context
    can't have a field that `show` names.
    """

    def __init__(
        self,
        ctx: RequestContext,
        token: str | None = None,
        *,
        authorize: Authorize | None = None,
        show: Iterable[str] = (),
        redis: str | None = None,
        directory: str | None = None,
    ) -> None:
        check_context(ctx)
        self._access = Access(token, authorize)
        self._show = _check_show(ctx, show)
        self._to_start = deque([None])  # whoever takes what is in it starts
        self._recorder = Recorder(ctx, self.start)
        secret, what = self._access.secret, f"{type(ctx).__module__}.{type(ctx).__qualname__}"
        self._workers = Workers(secret, what, directory, self._respond)
        self._machines = None if redis is None else _machines(redis, secret, what, self._respond)
        _inspectors.add(self)
        add_observer(self._recorder)

    def start(self) -> None:
        """Have the other processes see this one from now on, and not just from its first request on.

        Call it where requests are served, and not before that is forked: in gunicorn's `post_worker_init`.
        """
        try:
            self._to_start.pop()
        except IndexError:  # it has started
            return
        atexit.register(self._stop)
        self._workers.start()
        if self._machines is not None:
            self._machines.start(_local.process_id())

    def close(self) -> None:
        """Observe no more requests, and have the other processes see this one no more."""
        self._to_start.clear()
        atexit.unregister(self._stop)
        remove_observer(self._recorder)
        _inspectors.discard(self)
        self._stop()

    def _stop(self) -> None:
        self._workers.close()
        if self._machines is not None:
            self._machines.close()

    def _forked(self) -> None:
        """Begin anew, in a process that was forked."""
        self._stop()
        self._recorder.reset()
        self._to_start = deque([None])

    def look(self) -> View:
        """What all processes serve now, and have served. It waits for the others, seconds at most."""
        self.start()
        own = _local.look(self._recorder, self._show)
        process, taken = own.processes[0], unix_time(monotonic())
        views, trouble = [own, *self._workers.views(process.host, taken)], list[str]()
        if self._machines is not None:
            known = {each.processes[0].id for each in views}
            others, trouble = self._machines.views(known)
            views += others
        if self._workers.trouble is not None:
            trouble.append(self._workers.trouble)
        own.trouble += trouble
        return merged(views, taken)

    def stack(self, request: str) -> list[Frame] | None:
        """Where the code of the request with this id stands now, outermost first; None if the request is over.

        Raises TimeoutError if the process that serves it does not answer.
        """
        process, _, number = request.rpartition(":")
        host, _, pid = process.rpartition(":")
        if not (_is_number(number) and _is_number(pid)):
            return None
        serial, own_host, own_pid = int(number), *_local.host_and_pid()
        if host == own_host and int(pid) == own_pid:
            return _local.stack(self._recorder, serial)
        if host == own_host:
            found, frames = self._workers.stack(int(pid), serial)
            if found:
                return frames
        return None if self._machines is None else self._machines.stack(process, serial)

    def _respond(self, question: bytes) -> bytes:
        """What this process answers to another one."""
        word, _, number = question.partition(b" ")
        if word == b"stack" and _is_number(number.decode("latin-1")):
            return to_json({"frames": _local.stack(self._recorder, int(number))})
        return fitted(_local.look(self._recorder, self._show, history=word == b"requests"))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve the view: what a WSGI server calls (PEP 3333)."""
        return _wsgi.serve(self, environ, start_response)

    async def asgi(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve the view: what an ASGI server calls, or a framework that it is mounted in."""
        await _asgi.serve(self, scope, receive, send)

    def mount(self, app: WSGIApplication, path: str) -> WSGIApplication:
        """`app`, a WSGI application, with the view at `path`.

        Raises ValueError unless the path begins with a slash and ends with none.
        """
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"the path of the view begins with a slash and ends with none, unlike {path!r}")
        return _wsgi.mount(self, app, path)


_inspectors: weakref.WeakSet[Inspector] = weakref.WeakSet()


def _begin_anew() -> None:
    for inspector in tuple(_inspectors):
        inspector._forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _check_show(ctx: RequestContext, show: Iterable[str]) -> frozenset[str]:
    if isinstance(show, str):
        raise TypeError(f"show has to be several names, in a list: show=[{show!r}]")
    names = frozenset(show)
    for name in names:
        check_field(ctx, name)
    return names


def _machines(address: str, secret: str, what: str, respond: Any) -> Machines:
    """Those who share a Redis and the token see each other."""
    from tlctx.inspector._redis import Machines

    name = hmac.digest(secret.encode(), what.encode(), hashlib.sha256).hex()[:24]
    return Machines(address, f"tlctx:{name}", respond)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20
