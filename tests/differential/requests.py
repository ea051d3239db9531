"""Commands about requests: a server's part, and the application's."""

from __future__ import annotations

from typing import Any

from differential.application import Environ, FileWrapper, Iterating, Script, Sealed
from differential.scopes import ScopeScenario

from tlctx import ContextMiddleware


class Answered:
    """A body that a server holds, which iterates it once."""

    def __init__(self, body: Any) -> None:
        self.body = body
        self.iterated = False


def start_response(*_: Any) -> Any:
    return None


class RequestScenario(ScopeScenario):
    """A scenario of requests, and all else."""

    # Requests

    def environ(self, kind: str) -> dict[str, Any]:
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": f"/{kind}", "SCRIPT_NAME": "", "wsgi.input": object()}
        if kind == "outer" and self.environs:
            return self.environs[-1]
        if kind == "file":
            return {**environ, "wsgi.file_wrapper": FileWrapper}
        if kind == "sealed":
            return {**environ, "wsgi.file_wrapper": Sealed}
        if kind == "function":
            return {**environ, "wsgi.file_wrapper": lambda script: Iterating(script)}  # noqa: PLW0108
        return Environ(environ) if kind == "odd" else environ

    def do_request(self, context: int, kind: str, values: Any, commands: list[Any], *body: Any) -> Any:
        """Serve one: `commands` run in the application, `body` is its kind, steps and end; `values` come first."""

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            self.environs.append(environ)
            try:
                self.run(commands)
                return Script(self, *body[1:]).make(body[0], environ)
            finally:
                self.environs.pop()

        initialize: Any = {"none": None, "fails": lambda environ: 1 / 0, "wrong": lambda environ: 5}.get(
            values, lambda environ: {"user": values}
        )
        middleware = ContextMiddleware(app, self.contexts[context], initialize)
        self.bodies.append(Answered(middleware(self.environ(kind), start_response)))
        return type(self.bodies[-1].body).__name__.strip("_")

    def body(self, number: int) -> Any:
        return self.bodies[number % len(self.bodies)].body

    def do_iterate(self, number: int) -> None:
        answered = self.bodies[number % len(self.bodies)]
        if not answered.iterated:
            answered.iterated = True
            self.iterators.append(iter(answered.body))

    def do_step(self, number: int) -> Any:
        """A server takes no step inside a step, and none after one that raised."""
        iterator = self.iterators.pop(number % len(self.iterators))
        step = next(iterator).decode()
        self.iterators.append(iterator)
        return step

    def do_next(self, number: int) -> Any:
        return next(self.body(number)).decode()

    def do_len(self, number: int) -> Any:
        return len(self.body(number))

    def do_close_body(self, number: int) -> Any:
        return self.body(number).close()

    def do_drop_body(self, number: int) -> None:
        number %= len(self.bodies)
        self.dropped += [*self.iterators, self.bodies.pop(number)]
        self.iterators.clear()
