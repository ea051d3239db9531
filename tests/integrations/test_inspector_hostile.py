"""The live view, when clients, values and many requests do their worst."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from support.inspecting import Answer, Ctx, inspecting, open_request

from tlctx import per_request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tlctx.inspector import Inspector


class Making(Ctx):
    """A context whose value is made at its first use."""

    made = False

    @per_request
    def db(self) -> str:
        type(self).made = True
        return "a session"


@pytest.fixture
def ctx() -> Making:
    return Making()


@pytest.fixture
def inspector(ctx: Making) -> Iterator[Inspector]:
    with inspecting(ctx, show=["user", "db"]) as inspector:
        yield inspector


HOSTILE = [
    "/<script>alert(1)</script>", "/\x1b[2J\x1b]0;title\x07", "/\r\nSet-Cookie: a=b", "/\u202egnp", "/\0",
    "/\x85\x9b31m", "/\u2028\u2029", '/"onload="', "/" + "x" * 100_000, "/\xff\xfe", "/\udc80", "/\U0001f600",
]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE, ids=lambda path: ascii(path[:20]))
def test_a_path_is_short_printable_and_escaped(ctx: Making, inspector: Inspector, path: str) -> None:
    hostile = {"REQUEST_METHOD": path, "SCRIPT_NAME": path, "HTTP_TRACEPARENT": path, "tlctx.route": path}
    body = open_request(ctx, path, {"user": path, path: path}, **hostile)
    for _ in range(2):
        answer = Answer(inspector)
        assert answer.body.isascii()
        for request in answer.json["open"] + answer.json["recent"]:
            texts = [request[name] for name in ("method", "path", "label", "route")]
            texts += [*request.get("fields", ()), *request.get("values", {}).values()]
            assert all(text.isprintable() and len(text) <= 500 for text in texts)
            assert request.get("trace") is None
        assert all(times["name"].isprintable() for times in answer.json["routes"])
        body.close()


def test_a_path_is_shown_as_the_client_wrote_it(ctx: Making, inspector: Inspector) -> None:
    body = open_request(ctx, "/caf\u00e9/\u2603".encode().decode("latin-1"))
    assert inspector.look().open[0].path == "/caf\u00e9/\u2603"
    body.close()


@pytest.mark.parametrize(
    "header",
    ["", "00", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-" + "A" * 32 + "-00f067aa0ba902b7-01", "x" * 100_000,
     "00-" + "a" * 32 + "-00f067aa0ba902b7-01\n"],
)  # fmt: skip
def test_a_trace_id_that_is_none_is_not_shown(ctx: Making, inspector: Inspector, header: str) -> None:
    body = open_request(ctx, HTTP_TRACEPARENT=header)
    assert inspector.look().open[0].trace is None
    body.close()


class Broken:
    def __repr__(self) -> str:
        raise ValueError("s3cret")


class Exits:
    def __repr__(self) -> str:
        raise SystemExit


class Endless:
    def __repr__(self) -> str:
        return repr([self])


class Huge:
    def __repr__(self) -> str:
        return "<script>\x1b" * 1_000_000


class NoText:
    def __repr__(self) -> Any:
        return 7


def nested() -> Any:
    value: Any = []
    for _ in range(5000):
        value = [value]
    return value


@pytest.mark.parametrize("make", [Broken, Exits, Endless, Huge, NoText, nested, lambda: 10**10_000, lambda: "x" * 10**7,
                                  lambda: [Broken()] * 9, lambda: b"\xff" * 10**6, object], ids=count())  # fmt: skip
def test_a_value_is_short_whatever_its_repr_does(ctx: Making, inspector: Inspector, make: Any) -> None:
    body = open_request(ctx, values={"user": make(), "password": make()})
    answer = Answer(inspector)
    (request,) = answer.json["open"]
    assert request["fields"] == ["password", "user"]
    assert len(request["values"]["user"]) <= 200
    assert request["values"]["user"].isprintable()
    assert "s3cret" not in answer.body.decode()
    body.close()


def test_a_value_that_was_not_made_yet_is_not_made_to_be_shown(ctx: Making, inspector: Inspector) -> None:
    with ctx.scope():
        (request,) = inspector.look().open
        assert (request.fields, request.values, Making.made) == ([], {}, False)
        assert ctx.db == "a session"
        (request,) = inspector.look().open
        assert (request.fields, request.values) == (["db"], {"db": "'a session'"})


def test_values_that_nobody_allowed_are_nowhere_in_what_is_answered(ctx: Making, inspector: Inspector) -> None:
    body = open_request(ctx, values={"user": "ann", "password": "s3cret", "other": ["s3cret"]}, HTTP_COOKIE="s3cret",
                        QUERY_STRING="s3cret")  # fmt: skip
    first = Answer(inspector)
    body.close()
    assert b"s3cret" not in first.body + Answer(inspector).body
    assert b"password" in first.body


def test_fields_are_bounded_in_number(ctx: Making, inspector: Inspector) -> None:
    body = open_request(ctx, values={f"field_{number}": number for number in range(10_000)})
    assert len(inspector.look().open[0].fields) == 50
    body.close()


def test_of_ten_thousand_open_requests_the_oldest_are_listed_and_the_others_counted(
    ctx: Making, inspector: Inspector
) -> None:
    bodies = [open_request(ctx, f"/{'x' * 400}/{number}", {"user": "u" * 1000}) for number in range(10_000)]
    answer = Answer(inspector)
    shown = answer.json
    assert (len(shown["open"]), shown["truncated"], shown["processes"][0]["open"]) == (500, 9500, 10_000)
    assert shown["open"][0]["path"].endswith("/0")
    assert shown["open"][-1]["path"].endswith("/499")
    assert len(answer.body) < 1_000_000
    for body in bodies:
        body.close()
    over = Answer(inspector)
    assert (over.json["open"], over.json["truncated"], over.json["processes"][0]["begun"]) == ([], 0, 10_000)
    assert len(over.body) < 1_000_000
    json.loads(over.body)
