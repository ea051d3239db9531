"""ContextFilter: what it stamps on a record, and that no value can break a log line, or forge one."""

from __future__ import annotations

import json
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import Boom
from support.logs import Kept, logger_to

import tlctx
from tlctx import RequestContext, per_request
from tlctx.logs import ContextFilter, LoguruPatcher, StructlogProcessor
from tlctx.lowlevel import bound


class LogCtx(RequestContext):
    user: Any = "nobody"
    request_id: str
    name: str = "a name"
    made: int = 0

    @per_request
    def session(self) -> Iterator[str]:
        self.made += 1
        yield "a session"


class Broken:
    def __str__(self) -> str:
        raise Boom

    def __repr__(self) -> str:
        raise Boom


@pytest.fixture
def ctx() -> Any:
    return LogCtx()


@pytest.fixture
def kept(ctx: Any) -> Kept:
    return Kept(ContextFilter(ctx, ["user"]))


def test_records_of_a_request_have_its_values_and_the_request_id(ctx: Any, kept: Kept) -> None:
    logger = logger_to(kept)
    with ctx.scope(user="ann", request_id="abc-1"):
        logger.info("first")
    with ctx.scope(user="bob", request_id="abc-2"):
        logger.info("second")
    assert kept.stamps("user", "request_id") == [("ann", "abc-1"), ("bob", "abc-2")]


def test_outside_a_request_and_where_a_field_is_not_set_they_have_the_default(ctx: Any) -> None:
    for default in ("-", None, "\n"):
        kept = Kept(ContextFilter(ctx, ["user"], default=default))
        logger_to(kept).info("outside")
        with ctx.scope():
            logger_to(kept).info("unset")
        assert kept.stamps("user", "request_id") == [(default, default), ("nobody", default)]


def test_on_a_handler_it_stamps_the_records_of_every_logger(ctx: Any, kept: Kept) -> None:
    child = logger_to(logging.NullHandler())
    child.parent = logger_to(kept)
    with ctx.scope(user="ann"):
        child.warning("from a child")
    assert kept.stamps("user") == ["ann"]


def test_it_lets_every_record_pass(ctx: Any) -> None:
    assert ContextFilter(ctx).filter(logging.makeLogRecord({})) is True


def test_the_default_context_is_that_of_the_package() -> None:
    kept = Kept(ContextFilter(fields=["user"]))
    with tlctx.ctx.scope(user="ann"):
        logger_to(kept).info("hello")
    assert kept.stamps("user", "request_id") == [("ann", "-")]


def test_a_field_may_have_another_name_on_the_record(ctx: Any) -> None:
    kept = Kept(ContextFilter(ctx, {"name": "ctx_name", "request_id": "rid"}))
    with ctx.scope(request_id="abc-1"):
        logger_to(kept).info("hello")
    assert kept.stamps("ctx_name", "rid", "name") == [("a name", "abc-1", "notes")]
    assert not hasattr(kept.records[0], "request_id")


def test_the_request_id_may_be_another_field_or_none_and_is_stamped_once(ctx: Any) -> None:
    with ctx.scope(user="ann", request_id="abc-1", correlation="cde"):
        for fields, request_id, stamped in (
            (["user"], "correlation", {"user": "ann", "correlation": "cde"}),
            (["user"], None, {"user": "ann"}),
            (["request_id"], "request_id", {"request_id": "abc-1"}),
            (["request_id"], None, {"request_id": "abc-1"}),
        ):
            record = logging.makeLogRecord({})
            before = set(vars(record))
            ContextFilter(ctx, fields, request_id=request_id).filter(record)
            assert {name: value for name, value in vars(record).items() if name not in before} == stamped


@pytest.mark.parametrize("key", ["tlctx.request_id", "other"])
def test_the_id_that_was_read_from_the_headers_comes_before_the_field(key: str, ctx: Any, kept: Kept) -> None:
    scope = tlctx.Scope(ctx, {key: "of the headers"})
    with bound(scope):
        ctx.request_id = "of the field"
        logger_to(kept).info("hello")
    scope.close()
    assert kept.stamps("request_id") == ["of the headers" if key == "tlctx.request_id" else "of the field"]


def test_what_a_record_brings_along_stays_also_when_it_is_filtered_again(ctx: Any, kept: Kept) -> None:
    with ctx.scope(user="ann", request_id="abc-1"):
        logger_to(kept).info("hello", extra={"user": "of the call"})
    ContextFilter(ctx, ["user"]).filter(kept.records[0])
    assert kept.stamps("user", "request_id") == [("of the call", "abc-1")]


def test_a_per_request_value_is_never_made_for_a_record(ctx: Any) -> None:
    kept = Kept(ContextFilter(ctx, ["session", "made"]))
    with ctx.scope():
        logger_to(kept).info("before")
        assert ctx.session == "a session"
        logger_to(kept).info("after")
    assert kept.stamps("session", "made") == [("-", 0), ("a session", 1)]


@pytest.mark.parametrize(
    ("value", "stamped"),
    [
        ("ann\nINFO forged", "ann\\nINFO forged"),
        ("a\r\n\x85\u2028\u2029b", "a\\r\\n\\x85\\u2028\\u2029b"),
        ("\x1b[31mred\x00", "\\x1b[31mred\\x00"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("Zoë Müller 漢字 🎉", "Zoë Müller 漢字 🎉"),
        ("", ""),
        (7, 7),
        (1.5, 1.5),
        (True, True),
        (None, None),
        (("a", "b\n"), "('a', 'b\\n')"),
        (Broken(), "<unprintable Broken>"),
    ],
)
def test_a_value_becomes_one_line_of_plain_text_unless_it_is_a_number(
    value: Any, stamped: Any, ctx: Any, kept: Kept
) -> None:
    kept.setFormatter(logging.Formatter("%(user)s %(message)s"))
    with ctx.scope(user=value):
        logger_to(kept).info("hello")
    assert kept.stamps("user") == [stamped]
    assert kept.lines == [f"{stamped} hello"]
    assert pickle.loads(pickle.dumps(kept.records[0])).user == stamped
    assert json.dumps(kept.stamps("user"))


def test_a_text_of_a_class_of_its_own_becomes_a_plain_one(ctx: Any, kept: Kept) -> None:
    class Text(str):
        def isprintable(self) -> bool:
            return True

        def __str__(self) -> Text:
            return self

    with ctx.scope(user=Text("a\nb")):
        logger_to(kept).info("hello")
    assert (kept.stamps("user"), type(kept.records[0].user)) == (["a\\nb"], str)  # type: ignore[attr-defined]


def test_a_value_that_logs_as_it_becomes_a_text_logs_with_the_default(ctx: Any, kept: Kept) -> None:
    logger = logger_to(kept)

    class Logs:
        def __str__(self) -> str:
            logger.info("inner")
            return "outer"

    with ctx.scope(user=Logs(), request_id="abc-1"):
        logger.info("outer")
        logger.info("outer again")
    assert kept.stamps("user", "request_id", "msg") == [
        ("-", "abc-1", "inner"), ("outer", "abc-1", "outer"),
        ("-", "abc-1", "inner"), ("outer", "abc-1", "outer again"),
    ]  # fmt: skip


def test_nothing_that_goes_wrong_reaches_the_code_that_logs(ctx: Any, kept: Kept) -> None:
    class Hostile(type):
        def __getattribute__(cls, name: str) -> Any:
            raise Boom

    class Value(metaclass=Hostile):
        def __str__(self) -> str:
            raise Boom

    with ctx.scope(user=Value(), request_id="abc-1"):
        logger_to(kept).info("hello")
    assert kept.stamps("user", "request_id") == [("-", "abc-1")]


def test_a_signals_exception_is_not_swallowed(ctx: Any, kept: Kept) -> None:
    class Struck:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    with ctx.scope(user=Struck()), pytest.raises(KeyboardInterrupt):
        logger_to(kept).info("hello")
    with ctx.scope(user=("ann",)):
        logger_to(kept).info("hello")
    assert kept.stamps("user") == ["('ann',)"]


@pytest.mark.parametrize("name", ["name", "message", "asctime", "taskName", "exc_text", "msg"])
def test_a_name_that_each_record_has_is_refused(name: str, ctx: Any) -> None:
    with pytest.raises(ValueError, match=rf"'{name}'.*another name.*fields=\{{'{name}': 'ctx_{name}'\}}"):
        ContextFilter(ctx, [name])
    with pytest.raises(ValueError, match=rf"'{name}'.*another name"):
        ContextFilter(ctx, {"user": name})
    with pytest.raises(ValueError, match=rf"'{name}'.*another name"):
        ContextFilter(ctx, request_id=name)
    LoguruPatcher(ctx, [name])


@pytest.mark.parametrize("name", ["event", "level", "timestamp"])
def test_for_structlog_other_names_are_refused(name: str, ctx: Any) -> None:
    with pytest.raises(ValueError, match=f"'{name}'.*another name"):
        StructlogProcessor(ctx, [name])
    StructlogProcessor(ctx, ["name"])


@pytest.mark.parametrize("kind", [ContextFilter, StructlogProcessor, LoguruPatcher])
def test_wrong_arguments_are_errors_at_once(kind: Any, ctx: Any) -> None:
    class Strict(RequestContext, strict=True):
        user: str = "nobody"

    with pytest.raises(AttributeError, match="did you mean 'user'"):
        kind(Strict(), ["usr"])
    with pytest.raises(AttributeError, match="is a method"):
        kind(ctx, ["get"])
    with pytest.raises(TypeError, match=r"several names.*fields=\['user'\]"):
        kind(ctx, "user")
    with pytest.raises(TypeError, match="a name, a text, not int"):
        kind(ctx, {"user": 7})
    with pytest.raises(TypeError, match="must be string, not 'int'"):
        kind(ctx, [7])
    with pytest.raises(ValueError, match="two fields can't both be stamped under 'who'"):
        kind(ctx, {"user": "who", "made": "who"})
    with pytest.raises(ValueError, match="two fields can't both be stamped under 'request_id'"):
        kind(ctx, {"user": "request_id"})
    with pytest.raises(TypeError, match="must be a RequestContext"):
        kind(LogCtx)


def test_a_strict_context_needs_no_field_for_the_request_id() -> None:
    class Strict(RequestContext, strict=True):
        user: str = "nobody"

    strict = Strict()
    kept = Kept(ContextFilter(strict, ["user"]))
    scope = tlctx.Scope(strict, {"tlctx.request_id": "abc-1"})
    scope.run(logger_to(kept).info, "hello")
    scope.close()
    assert kept.stamps("user", "request_id") == [("nobody", "abc-1")]
