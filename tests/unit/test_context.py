"""RequestContext: fields, `per_request`, and what it answers where no request runs."""

from __future__ import annotations

import abc
import collections
import copy
import dataclasses
import functools
import logging
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from typing import Any, ClassVar

import pytest
from support.helpers import in_foreign_thread, in_thread

import tlctx
from tlctx import OutsideRequestError, RequestContext, RequestEndedError, per_request


class Ctx(RequestContext):
    user: str | None = None
    request_id: str
    limit = 10
    shared: ClassVar[dict[str, int]] = {}

    def greeting(self) -> str:
        return f"Hello, {self.user}!"

    @property
    def is_admin(self) -> bool:
        return self.user == "admin"

    @property
    def broken(self) -> int:
        return self.user.nonsense  # type: ignore[no-any-return,union-attr]


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


# Fields


def test_a_default_is_there_at_the_start_of_every_scope(ctx: Ctx) -> None:
    with ctx.scope():
        assert ctx.get("user", "-") is None
        ctx.user = "ann"
        assert ctx.user == "ann"
    with ctx.scope():
        assert dict(vars(ctx)) == {"user": None}


def test_a_declared_field_without_a_default_says_that_it_is_unset(ctx: Ctx) -> None:
    with ctx.scope():
        with pytest.raises(AttributeError, match=r"Ctx\.request_id is declared, but has no value in scope #\d+ yet"):
            _ = ctx.request_id
        ctx.request_id = "r1"
        assert ctx.request_id == "r1"
        del ctx.request_id
        assert not hasattr(ctx, "request_id")


def test_a_misspelt_name_is_told_the_closest_one(ctx: Ctx) -> None:
    with ctx.scope(tenant="t1"):
        for wrong, right in (("usr", "user"), ("tennant", "tenant"), ("calback", "callback"), ("greetin", "greeting")):
            with pytest.raises(AttributeError, match=f"Ctx has no '{wrong}' in scope #.* did you mean '{right}'?"):
                getattr(ctx, wrong)
        with pytest.raises(AttributeError, match=r"has no 'qqq'.*declare it in the class"):
            _ = ctx.qqq  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="did you mean 'user'"):
            del ctx.usr  # type: ignore[attr-defined]


def test_a_deleted_value_is_unset_and_its_default_does_not_come_back(ctx: Ctx) -> None:
    with ctx.scope(user="ann"):
        del ctx.user
        with pytest.raises(AttributeError, match="declared, but has no value"):
            _ = ctx.user


def test_a_name_that_nobody_declared_can_be_assigned() -> None:
    with tlctx.ctx.scope():
        tlctx.ctx.anything = 1
        assert tlctx.ctx.anything == 1


def test_class_constants_and_class_variables_are_no_fields(ctx: Ctx) -> None:
    assert ctx.limit == 10
    ctx.shared["n"] = 1
    with ctx.scope():
        assert (ctx.limit, ctx.shared, list(ctx)) == (10, {"n": 1}, ["user"])


def test_fields_are_inherited_overridden_and_mixed_in() -> None:
    class Tenancy:
        tenant: str = "none"

    class Base(RequestContext):
        user: str = "nobody"
        role: str = "guest"
        name: str = "x"

    class Derived(Tenancy, Base):
        user: str = "somebody"
        role = "reader"

        @property
        def name(self) -> str:  # type: ignore[override]
            return self.user.title()

    base, derived = Base(), Derived()
    with derived.scope(), base.scope():
        assert dict(vars(base)) == {"user": "nobody", "role": "guest", "name": "x"}
        assert dict(vars(derived)) == {"tenant": "none", "user": "somebody", "role": "reader"}
        assert derived.name == "Somebody"


def test_the_class_itself_answers_with_the_default() -> None:
    assert Ctx.user is None
    with pytest.raises(AttributeError, match="request_id has no default"):
        _ = Ctx.request_id


@dataclasses.dataclass
class Unhashable:
    x: int = 0


@pytest.mark.parametrize(
    "default", [[], {}, set(), bytearray(), collections.deque(), Unhashable()], ids=lambda value: type(value).__name__
)
@pytest.mark.parametrize("annotated", [True, False], ids=["annotated", "plain"])
def test_a_mutable_default_is_refused_when_the_class_is_made(default: Any, *, annotated: bool) -> None:
    body = {"items": default, "__annotations__": {"items": type(default)} if annotated else {}}
    with pytest.raises(TypeError, match=r"mutable default \w+ for Bad.items would be shared.*@per_request"):
        type("Bad", (RequestContext,), body)


@pytest.mark.parametrize("name", ["get", "scope", "callback", "enter_context", "greeting"])
def test_a_methods_name_can_be_neither_a_field_nor_a_value(ctx: Ctx, name: str) -> None:
    with pytest.raises(TypeError, match=f"field '{name}' of Bad would hide the method"):
        type("Bad", (Ctx,), {"__annotations__": {name: int}})
    with ctx.scope():
        with pytest.raises(AttributeError, match=rf"Ctx\.{name} is a method and can't be assigned"):
            setattr(ctx, name, 1)
        with pytest.raises(AttributeError, match=rf"Ctx\.{name} is a method and can't be deleted"):
            delattr(ctx, name)
    with pytest.raises(AttributeError, match="is a method"):
        ctx.scope(**{name: 1}).__enter__()
    assert ctx.greeting.__func__(type("Fake", (), {"user": "u"})) == "Hello, u!"  # type: ignore[attr-defined]


def test_other_kinds_of_methods_are_guarded_under_the_name_they_have() -> None:
    class Mine(RequestContext):
        def method(self) -> None: ...

        alias = method
        made = lambda self: 1  # noqa: E731
        cached = functools.lru_cache(lambda self: 1)
        partial = functools.partialmethod(method)

        @classmethod
        def of_class(cls) -> str:
            return cls.__name__

    mine = Mine()
    with mine.scope():
        for name in ("method", "alias", "made", "cached", "partial", "of_class"):
            with pytest.raises(AttributeError, match=rf"Mine\.{name} is a method"):
                setattr(mine, name, 1)
        assert (mine.of_class(), mine.made(), mine.cached()) == ("Mine", 1, 1)  # type: ignore[no-untyped-call]


def test_an_abstract_method_stays_abstract() -> None:
    class Abstract(RequestContext, abc.ABC):
        @abc.abstractmethod
        def load(self) -> str: ...

    class Concrete(Abstract):
        def load(self) -> str:
            return "loaded"

    assert Abstract.__abstractmethods__ == {"load"}
    assert Concrete().load() == "loaded"


@pytest.mark.parametrize("where", ["own", "dataclass"])
def test_a_slot_which_all_requests_would_share_is_refused(where: str) -> None:
    slotted = {"__slots__": ("user",), "__annotations__": {"user": str}}
    with pytest.raises(TypeError, match=r"slot 'user' of \w+ would be shared by all requests"):
        if where == "own":
            type("Bad", (RequestContext,), slotted)
        else:
            dataclasses.dataclass(slots=True)(type("Bad", (RequestContext,), {"__annotations__": {"user": str}}))


def test_an_init_from_a_dataclass_or_a_mixin_runs_at_the_start_of_every_scope_too() -> None:
    @dataclasses.dataclass
    class Data(RequestContext):
        user: str = "nobody"

    class Mixin:
        def __init__(self) -> None:
            self.items: list[int] = []

    class Mixed(Mixin, RequestContext):
        pass

    data, mixed = Data("ann"), Mixed()
    for _ in range(2):
        with data.scope(), mixed.scope():
            assert data.user == "ann"
            mixed.items.append(1)
            assert mixed.items == [1]


def test_a_default_may_be_any_callable_or_class() -> None:
    class Mine(RequestContext):
        clock: Callable[[], float] = time.time
        bound: Callable[[], None] = threading.Event().set
        kind: type = property
        function: Callable[..., Any] = in_thread

    mine = Mine()
    with pytest.raises(OutsideRequestError):
        _ = mine.bound
    with mine.scope():
        assert sorted(mine) == ["bound", "clock", "function", "kind"]
        assert mine.clock is time.time
        mine.function = in_foreign_thread
        assert mine.function is in_foreign_thread


def test_what_a_mixin_shares_without_declaring_it_is_its_own_business() -> None:
    class Mixin:
        registry: ClassVar[list[int]] = []
        plain = [1]  # noqa: RUF012

    class Mine(Mixin, RequestContext):
        pass

    assert Mine().plain is Mixin.plain


def test_the_interpreter_adds_no_suggestion_of_its_own(ctx: Ctx) -> None:
    with ctx.scope(), pytest.raises(AttributeError) as caught:
        _ = ctx.usr  # type: ignore[attr-defined]
    assert "".join(traceback.format_exception(caught.value)).count("'user'") == 1


def test_the_classes_own_code_and_properties_work_as_in_any_class(ctx: Ctx) -> None:
    with ctx.scope(user="admin"):
        assert ctx.is_admin
        assert ctx.greeting() == "Hello, admin!"
        with pytest.raises(AttributeError):
            ctx.is_admin = False  # type: ignore[misc]


def test_an_error_in_a_propertys_code_is_not_taken_for_a_missing_name(ctx: Ctx) -> None:
    with ctx.scope(), pytest.raises(AttributeError, match="'NoneType' object has no attribute 'nonsense'"):
        _ = ctx.broken


def test_an_init_runs_at_the_start_of_every_scope_with_the_constructors_arguments() -> None:
    class Mine(RequestContext):
        started: bool = False

        def __init__(self, first: int, *, second: int = 0) -> None:
            self.items = [first, second]
            assert not self.started
            self.started = True

    mine = Mine(1, second=2)
    for _ in range(2):
        with mine.scope():
            mine.items.append(3)
            assert mine.items == [1, 2, 3]
    with pytest.raises(TypeError, match="missing a required argument: 'first'"):
        Mine()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="takes no arguments"):
        Ctx(1)


# What it offers


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
        assert "s3cret" not in "".join(shown)
    assert repr(scope) == f"<ended scope #{scope.serial}>"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
def test_neither_the_context_nor_a_scope_nor_a_namespace_can_be_copied(ctx: Ctx, duplicate: Any) -> None:
    with ctx.scope() as scope:
        for thing in (ctx, scope, vars(ctx)):
            with pytest.raises(TypeError, match="can't be copied or pickled"):
                duplicate(thing)


# Outside a request

USES: dict[str, Callable[[Any], Any]] = {
    "read a default": lambda ctx: ctx.user,
    "read a field": lambda ctx: ctx.request_id,
    "read any name": lambda ctx: ctx.anything,
    "read per_request": lambda ctx: ctx.made,
    "write": lambda ctx: setattr(ctx, "user", "left behind"),
    "write any name": lambda ctx: setattr(ctx, "anything", "left behind"),
    "delete": lambda ctx: delattr(ctx, "user"),
    "get": lambda ctx: ctx.get("user", "default"),
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


class Made(Ctx):
    @per_request
    def made(self) -> int:
        return 1


@pytest.mark.parametrize("use", [*USES, *ONLY_OUTSIDE])
def test_any_use_outside_a_request_is_an_error_that_says_what_to_do(use: str) -> None:
    made = Made()
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


# After the end


@pytest.mark.parametrize("use", USES)
def test_any_use_after_the_end_inside_the_block_names_what_has_ended(use: str) -> None:
    made = Made()
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


# per_request


def test_it_is_made_on_first_use_once_a_request_and_then_a_plain_value() -> None:
    made: list[str] = []

    class Mine(RequestContext):
        user: str = "-"

        @per_request
        def profile(self) -> dict[str, str]:
            """What the user chose."""
            made.append(self.user)
            return {"of": self.user}

    mine = Mine()
    for user in ("ann", "bob"):
        with mine.scope(user=user):
            assert made.count(user) == 0
            assert mine.profile is mine.profile
            assert vars(mine)["profile"] == {"of": user}
    assert made == ["ann", "bob"]
    assert Mine.profile.__doc__ == "What the user chose."


def test_it_can_be_assigned_for_a_test_say() -> None:
    made = Made()
    with made.scope(made=5):
        assert made.made == 5
        del made.made
        assert made.made == 1


def generating(log: list[Any], *, catch: bool = False) -> type[Any]:
    class Mine(RequestContext):
        @per_request
        def outer(self) -> Iterator[str]:
            log.append("outer opened")
            try:
                yield "outer"
            except BaseException as error:
                log.append(f"outer saw {type(error).__name__}")
                if not catch:
                    raise
            else:
                log.append("outer done")

        @per_request
        def inner(self) -> Generator[str, None, None]:
            value = f"inner in {self.outer}"
            try:
                yield value
            except BaseException as error:
                log.append(f"inner saw {type(error).__name__}")
                if not catch:
                    raise
            else:
                log.append(f"inner done with {self.outer}")

    return Mine


def test_a_generators_rest_runs_at_the_end_last_in_first_out() -> None:
    log: list[Any] = []
    mine = generating(log)()
    with mine.scope():
        assert mine.inner == "inner in outer"
        log.append("working")
    assert log == ["outer opened", "working", "inner done with outer", "outer done"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, GeneratorExit, StopIteration])
@pytest.mark.parametrize("catch", [False, True], ids=["re-raising", "catching"])
def test_every_generator_sees_the_exception_also_when_another_caught_it(error: Any, *, catch: bool) -> None:
    log: list[Any] = []
    mine = generating(log, catch=catch)()
    with pytest.raises(error), mine.scope():
        _ = mine.inner
        raise error
    assert log == ["outer opened", f"inner saw {error.__name__}", f"outer saw {error.__name__}"]


def test_one_that_fails_leaves_nothing_and_is_tried_again() -> None:
    outcomes: Iterator[Any] = iter([ValueError("no connection"), "connected"])

    class Mine(RequestContext):
        @per_request
        def plain(self) -> str:
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return str(outcome)

        @per_request
        def generated(self) -> Iterator[str]:
            yield f"by {self.plain}"

    mine = Mine()
    with mine.scope():
        with pytest.raises(ValueError, match="no connection"):
            _ = mine.generated
        assert list(mine) == []
        assert mine.generated == "by connected"


def test_its_own_attribute_error_is_not_taken_for_a_missing_name() -> None:
    class Mine(Ctx):
        @per_request
        def wrong(self) -> str:
            return self.user.nonsense  # type: ignore[no-any-return,union-attr]

    mine = Mine()
    with mine.scope(), pytest.raises(AttributeError, match="'NoneType' object has no attribute 'nonsense'"):
        _ = mine.wrong


@pytest.mark.parametrize(("times", "message"), [(0, "didn't yield"), (2, "didn't stop")])
def test_a_generator_has_to_yield_exactly_once(times: int, message: str) -> None:
    class Mine(RequestContext):
        @per_request
        def value(self) -> Iterator[int]:
            yield from range(times)

    mine = Mine()
    with pytest.raises(RuntimeError, match=message), mine.scope():
        _ = mine.value
    assert not hasattr(mine, "value")


def test_no_lock_is_held_while_one_is_made() -> None:
    together = threading.Barrier(2)

    class Mine(RequestContext):
        @per_request
        def slow(self) -> int:
            return together.wait(30)

    mine = Mine()

    def serve() -> int:
        with mine.scope():
            return mine.slow

    other: list[int] = []
    thread = threading.Thread(target=lambda: other.append(serve()))
    thread.start()
    assert sorted([serve(), *(thread.join() or other)]) == [0, 1]  # type: ignore[func-returns-value]


def test_a_coroutine_function_is_refused() -> None:
    with pytest.raises(TypeError, match="can't await: fetch must be a plain function"):

        @per_request
        async def fetch(self: Any) -> None: ...


def test_what_is_no_function_is_refused_and_any_callable_is_taken() -> None:
    wrong: Any = 5
    with pytest.raises(TypeError, match="decorates a method, not int"):
        per_request(wrong)

    class Mine(RequestContext):
        value = per_request(functools.partial(repr))

    mine = Mine()
    with mine.scope():
        assert mine.value.startswith("<Mine in scope #")


def test_a_generator_function_is_known_behind_a_decorator() -> None:
    def traced(function: Any) -> Any:
        @functools.wraps(function)
        def run(*args: Any) -> Any:
            return function(*args)

        return run

    closed: list[str] = []

    class Mine(RequestContext):
        @per_request
        @traced
        def value(self) -> Iterator[str]:
            yield "made"
            closed.append("closed")

    mine = Mine()
    with mine.scope():
        assert mine.value == "made"
    assert closed == ["closed"]


def test_an_object_that_is_no_context_is_refused() -> None:
    class Wrong:
        @per_request
        def value(self) -> int:
            return 1

    with pytest.raises(TypeError, match="'value' needs a RequestContext, not Wrong"):
        _ = Wrong().value


def test_it_works_from_a_mixin() -> None:
    class Mixin:
        @per_request
        def value(self) -> int:
            return 1

    class Mine(Mixin, RequestContext):
        pass

    mine = Mine()
    with mine.scope():
        assert mine.value == 1
