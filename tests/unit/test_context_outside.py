"""RequestContext: what it offers in a request, and how it refuses any use outside one and after the end."""

from __future__ import annotations

import copy
import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support.contexts import Ctx, MadeCtx
from support.helpers import in_foreign_thread, in_thread

from tlctx import OutsideRequestError, RequestContext, RequestEndedError, per_request
from tlctx._core.namespace import Namespace


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


def test_get_in_and_iteration_tell_what_is_set_and_make_nothing() -> None:
    class Mine(Ctx):
        @per_request
        def made(self) -> int:
            raise AssertionError("nobody asked for it")

    mine = Mine()
    with mine.scope(other=1):
        assert (mine.get("user", "d"), mine.get("request_id"), mine.get("request_id", "d")) == (None, None, "d")
        assert mine.get("made") is None
        assert "user" in mine
        assert "request_id" not in mine
        assert "made" not in mine
        assert list(mine) == ["user", "other"]
        assert bool(mine)


def test_a_repr_says_that_nothing_is_set() -> None:
    bare = RequestContext()
    with bare.scope() as scope:
        assert repr(vars(bare)) == f"<Namespace of scope #{scope.serial}: nothing set>"


def test_names_may_change_while_they_are_iterated(ctx: Ctx) -> None:
    with ctx.scope(a=1, b=2):
        for name in ctx:
            delattr(ctx, name)
        assert list(ctx) == []


def test_a_repr_shows_names_and_no_values(ctx: Ctx) -> None:
    assert repr(ctx) == "<Ctx outside a request>"
    with ctx.scope(user="s3cret", token="s3cret") as scope:
        shown = [repr(ctx), str(ctx), repr(vars(ctx)), repr(scope), str(scope), repr([scope.namespace])]
        assert shown[0] == f"<Ctx in scope #{scope.serial}: user, token>"
        assert shown[2] == shown[5].strip("[]") == f"<Namespace of scope #{scope.serial}: user, token>"
        assert "s3cret" not in "".join(shown)
    assert repr(scope) == f"<ended scope #{scope.serial}>"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_neither_the_context_nor_a_scope_nor_a_namespace_can_be_copied(ctx: Ctx, duplicate: Any) -> None:
    with ctx.scope() as scope:
        for thing in (ctx, scope, vars(ctx)):
            with pytest.raises(TypeError, match="can't be copied or pickled"):
                duplicate(thing)


USES: dict[str, Callable[[Any], Any]] = {
    "read a default": lambda ctx: ctx.user,
    "read a field": lambda ctx: ctx.request_id,
    "read any name": lambda ctx: ctx.anything,
    "read per_request": lambda ctx: ctx.made,
    "write": lambda ctx: setattr(ctx, "user", "left behind"),
    "write any name": lambda ctx: setattr(ctx, "anything", "left behind"),
    "delete": lambda ctx: delattr(ctx, "user"),
    "get": lambda ctx: ctx.get("user"),
    "pop": lambda ctx: ctx.pop("user", None),
    "setdefault": lambda ctx: ctx.setdefault("user", "left behind"),
    "in": lambda ctx: "user" in ctx,
    "iterate": list,
    "enter_context": lambda ctx: ctx.enter_context(threading.Lock()),
    "callback": lambda ctx: ctx.callback(print),
    "a method that reads": lambda ctx: ctx.greeting(),
    "vars, read": lambda ctx: vars(ctx)["user"],
    "vars, get": lambda ctx: vars(ctx).get("user"),
    "vars, write": lambda ctx: vars(ctx).__setitem__("user", "left behind"),
    "vars, setdefault": lambda ctx: vars(ctx).setdefault("user", "left behind"),
    "vars, update": lambda ctx: vars(ctx).update(user="left behind"),
    "vars, merge": lambda ctx: vars(ctx).__ior__({"user": "left behind"}),
    "vars, pop": lambda ctx: vars(ctx).pop("user", None),
    "vars, delete": lambda ctx: vars(ctx).__delitem__("user"),
}


ONLY_OUTSIDE: dict[str, Callable[[Any], Any]] = {
    "vars, iterate": lambda ctx: list(vars(ctx)),
    "vars, in": lambda ctx: "user" in vars(ctx),
    "vars, items": lambda ctx: vars(ctx).items(),
}


@pytest.mark.parametrize("use", [*USES, *ONLY_OUTSIDE])
def test_any_use_outside_a_request_is_an_error_that_says_what_to_do(use: str) -> None:
    made = MadeCtx()
    with pytest.raises(OutsideRequestError, match=r"on thread 'MainThread', where no request is running.*ctx\.scope"):
        ({**USES, **ONLY_OUTSIDE}[use])(made)
    with made.scope():
        assert dict(vars(made)) == {"user": None}


def test_the_error_is_an_attribute_error_and_a_runtime_error(ctx: Ctx) -> None:
    assert issubclass(OutsideRequestError, AttributeError)
    assert issubclass(OutsideRequestError, RuntimeError)
    assert issubclass(RequestEndedError, OutsideRequestError)
    assert getattr(ctx, "user", "-") == "-"
    assert not hasattr(ctx, "user")


def test_a_log_formatter_can_ask_anywhere(
    ctx: Ctx, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Formatter(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return f"{getattr(ctx, 'user', '-')} {record.getMessage()}"

    monkeypatch.setattr(caplog.handler, "formatter", Formatter())
    logging.getLogger("any").warning("outside")
    with ctx.scope(user="ann"):
        logging.getLogger("any").warning("inside")
    assert caplog.text.splitlines() == ["- outside", "ann inside"]


def test_get_with_a_default_returns_it_wherever_there_is_no_value(ctx: Ctx) -> None:
    assert ctx.get("user", "-") == "-"
    assert ctx.get("user", None) is None
    with ctx.scope(user="ann") as scope:
        assert ctx.get("user", "-") == "ann"
        scope.close()
        assert ctx.get("user", "-") == "-"
    assert in_thread(lambda: ctx.get("user", "-")) == "-"


def test_the_error_names_the_thread(ctx: Ctx) -> None:
    def look() -> str:
        with pytest.raises(OutsideRequestError) as caught:
            _ = ctx.user
        return str(caught.value)

    with ctx.scope(user="ann"):
        assert "on thread 'Thread-" in in_thread(look)
        assert "on thread 'foreign thread " in in_foreign_thread(look)


def test_methods_constants_and_introspection_work_outside_a_request(ctx: Ctx) -> None:
    assert {"user", "scope", "greeting"} <= set(dir(ctx))
    assert isinstance(ctx, Ctx)
    assert ctx.__doc__ == Ctx.__doc__
    assert (ctx.limit, callable(ctx.get)) == (10, True)


def test_another_thread_sees_nothing_of_this_threads_request(ctx: Ctx) -> None:
    with ctx.scope(user="ann"):
        assert in_thread(lambda: getattr(ctx, "user", "nothing")) == "nothing"

        def serve() -> str:
            with ctx.scope():
                ctx.user = "bob"
                return ctx.user

        assert in_thread(serve) == "bob"
        assert ctx.user == "ann"


@pytest.mark.parametrize("use", USES)
def test_any_use_after_the_end_inside_the_block_names_what_has_ended(use: str) -> None:
    made = MadeCtx()
    with made.scope(user="ann") as scope:
        scope.close()
        with pytest.raises(RequestEndedError, match=rf"after scope #{scope.serial} has ended"):
            USES[use](made)
    assert getattr(made, "user", "nothing") == "nothing"


def test_a_kept_reference_to_the_values_shows_nothing_and_takes_nothing(ctx: Ctx) -> None:
    with ctx.scope(user="ann"):
        kept = vars(ctx)
    assert (len(kept), list(kept), "user" in kept, kept == {}) == (0, [], False, True)
    for use in (kept.__getitem__, kept.get, kept.pop, kept.setdefault):
        with pytest.raises(RequestEndedError, match="'user' on thread 'MainThread' after scope"):
            use("user")
    with pytest.raises(RequestEndedError, match="writing 'user'"):
        kept["user"] = "bob"


def test_a_namespace_that_is_told_to_end_is_emptied_and_refuses_any_use(ctx: Ctx) -> None:
    with ctx.scope(user="ann") as scope:
        namespace = Namespace(user="ann")
        namespace.scope = scope
        namespace.end()
        assert not namespace
        with pytest.raises(RequestEndedError, match="reading 'user'"):
            namespace["user"]
        with pytest.raises(RequestEndedError, match="writing 'user'"):
            namespace["user"] = "bob"
        assert ctx.user == "ann"


def test_an_attribute_error_that_a_property_raises_itself_keeps_its_words() -> None:
    class Mine(Ctx):
        @property
        def refused(self) -> int:
            raise AttributeError("not for you")

        @property
        def misspelt(self) -> int:
            return self.usr  # type: ignore[attr-defined,no-any-return]

    mine = Mine()
    with mine.scope():
        with pytest.raises(AttributeError, match=r"^not for you$"):
            _ = mine.refused
        with pytest.raises(AttributeError, match=r"Mine has no 'usr' in scope .* did you mean 'user'"):
            _ = mine.misspelt
