"""The live view lets in nobody who does not show the token, or whom the application does not let in."""

from __future__ import annotations

import base64
import itertools
from typing import TYPE_CHECKING, Any

import pytest
from support.asgi import http_scope, serve
from support.inspecting import BEARER, TOKEN, Answer, Ctx, basic, inspecting

from tlctx.inspector import Inspector

if TYPE_CHECKING:
    from collections.abc import Iterator

WRONG = [
    None, "", "Bearer", "Bearer ", f"Bearer{TOKEN}", TOKEN, f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN.upper()}", f"Token {TOKEN}", "Basic", "Basic %%%", f"Basic {TOKEN}", basic(""), basic(TOKEN[:-1]),
    basic("", user=TOKEN), f"Basic {base64.b64encode(TOKEN.encode()).decode()}", f"Bearer {TOKEN}\u00e9",
    f"Bearer {'x' * 1_000_000}", f"Bearer {TOKEN}, {TOKEN}", "Bearer \udcff",
]  # fmt: skip
RIGHT = [BEARER, f"bearer {TOKEN}", f"BEARER   {TOKEN} ", basic(TOKEN), basic(TOKEN, user=""), basic(TOKEN, user="ann")]


@pytest.fixture
def inspector() -> Iterator[Inspector]:
    with inspecting(Ctx()) as inspector:
        yield inspector


def test_nobody_is_let_in_without_the_token(inspector: Inspector) -> None:
    paths = ("/requests.json", "/", "/stack.json?id=a:1:1", "/nothing", "")
    for authorization, path in itertools.product(WRONG, paths):
        answer = Answer(inspector, path, authorization)
        assert answer.status == "401 Unauthorized"
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="tlctx", charset="UTF-8"'
        assert answer.body == b"401 Unauthorized\n"


def test_the_token_lets_in_as_bearer_and_as_the_password_of_basic(inspector: Inspector) -> None:
    for authorization in RIGHT:
        assert Answer(inspector, authorization=authorization).status == "200 OK"


def test_the_token_in_an_address_lets_nobody_in(inspector: Inspector) -> None:
    for query in (f"token={TOKEN}", f"access_token={TOKEN}", f"Authorization=Bearer+{TOKEN}"):
        assert Answer(inspector, f"/requests.json?{query}", None).status == "401 Unauthorized"


def test_a_token_may_have_a_colon_in_it() -> None:
    with inspecting(Ctx(), "a:token:for:the:tests") as inspector:
        assert Answer(inspector, authorization=basic("a:token:for:the:tests")).status == "200 OK"
        assert Answer(inspector, authorization=basic("token:for:the:tests", user="a")).status == "401 Unauthorized"


def test_it_refuses_to_be_made_without_one_way_to_authorize() -> None:
    for options in ({}, {"token": None}, {"token": TOKEN, "authorize": bool}):
        with pytest.raises(TypeError, match="needs either a token or a function that authorizes"):
            Inspector(Ctx(), **options)
    with pytest.raises(TypeError, match="the token must be a str, not bytes"):
        Inspector(Ctx(), TOKEN.encode())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="authorize must be a function of the request, not str"):
        Inspector(Ctx(), authorize="ann")  # type: ignore[arg-type]


def test_it_refuses_a_token_that_can_be_guessed_or_not_be_sent() -> None:
    for token in ("", "short", "x" * 15, "x" * 1001, "a token with spaces in it", "x" * 20 + "\n", "\u00e9" * 20):
        text = r"the token must have 16 characters or more.*secrets.token_urlsafe"
        with pytest.raises(ValueError, match=text) as raised:
            Inspector(Ctx(), token)
        assert token == "" or token not in str(raised.value)


def test_it_refuses_a_context_that_is_none_and_fields_that_it_can_not_have() -> None:
    class Strict(Ctx, strict=True):
        pass

    with pytest.raises(TypeError, match="must be a RequestContext"):
        Inspector(Ctx, TOKEN)  # type: ignore[arg-type]
    with pytest.raises(AttributeError, match="did you mean 'user'"):
        Inspector(Strict(), TOKEN, show=["usr"])
    with pytest.raises(TypeError, match=r"show=\['user'\]"):
        Inspector(Ctx(), TOKEN, show="user")


def test_a_function_that_authorizes_lets_in_by_true_alone() -> None:
    results: list[Any] = [False, None, 1, "yes", [True], object()]
    with inspecting(Ctx(), None, authorize=lambda environ: results[0]) as inspector:
        while results:
            assert Answer(inspector, authorization=None).status == "403 Forbidden"
            assert Answer(inspector, authorization=BEARER).status == "403 Forbidden"
            results.pop(0)
            results += [True] * (not results)
            if results == [True]:
                break
        assert Answer(inspector, authorization=None).status == "200 OK"


def test_a_function_that_authorizes_and_fails_lets_nobody_in() -> None:
    with inspecting(Ctx(), None, authorize=lambda environ: environ["nothing"]) as inspector, pytest.raises(KeyError):
        Answer(inspector)


def header(value: str) -> dict[str, Any]:
    return {"headers": [(b"authorization", value.encode("utf-8", "surrogateescape"))], "path": "/requests.json"}


def test_nobody_is_let_in_without_the_token_under_asgi(inspector: Inspector) -> None:
    for authorization in WRONG:
        more = {"path": "/requests.json"} if authorization is None else header(authorization)
        exchange = serve(inspector.asgi, http_scope(**more))
        assert (exchange.status, exchange.body) == (401, b"401 Unauthorized\n")


def test_the_token_lets_in_under_asgi_but_not_twice(inspector: Inspector) -> None:
    for authorization in RIGHT:
        assert serve(inspector.asgi, http_scope(**header(authorization))).status == 200
    twice = {"headers": header(BEARER)["headers"] * 2, "path": "/requests.json"}
    assert serve(inspector.asgi, http_scope(**twice)).status == 401


def test_a_function_that_authorizes_may_be_a_coroutine_function_under_asgi() -> None:
    async def authorize(scope: Any) -> Any:
        return dict(scope["headers"]).get(b"cookie") == b"ann"

    with inspecting(Ctx(), None, authorize=authorize) as inspector:
        assert serve(inspector.asgi, http_scope("/requests.json")).status == 403
        assert serve(inspector.asgi, http_scope("/requests.json", headers=[(b"cookie", b"ann")])).status == 200
