"""How headers are set up: what is wrong is said then, and not to a client."""

from __future__ import annotations

from typing import Any

import pytest
from support.headers import HeadersCtx
from support.helpers import run_program

from tlctx import RequestContext
from tlctx.headers import Headers


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


def test_what_is_wrong_is_said_when_it_is_set_up(ctx: Any) -> None:
    class Strict(RequestContext, strict=True):
        request_identity: str

    with pytest.raises(AttributeError, match="declares no 'request_id': did you mean 'request_identity'"):
        Headers(Strict())
    assert Headers(Strict(), "request_identity")
    with pytest.raises(AttributeError, match="is a method and can't be assigned"):
        Headers(ctx, "get")
    with pytest.raises(TypeError, match="must be a RequestContext, not type"):
        Headers(HeadersCtx)  # type: ignore[arg-type]
    for name in ("", "X Request", "X-Request-ID\n", "Größe"):
        with pytest.raises(ValueError, match="can't be the name of a header"):
            Headers(ctx, request_id_header=name)
    with pytest.raises(TypeError, match="a callable, not NoneType"):
        Headers(ctx).wsgi(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="a callable, not NoneType"):
        Headers(ctx).asgi(None)  # type: ignore[arg-type]


WITHOUT_OPENTELEMETRY = """
    import sys
    sys.modules["opentelemetry"] = None
    import tlctx
    from tlctx.headers import Headers
    assert not {"requests", "httpx"} & set(sys.modules)
    headers = Headers(tlctx.ctx)
    for options in ({"trace": True}, {"baggage": True}):
        try:
            Headers(tlctx.ctx, **options)
        except ImportError as error:
            print(error)
    try:
        headers.context()
    except RuntimeError as error:
        print(error)
    with tlctx.ctx.scope(request_id="abc"):
        print(headers.outbound(to=["a.b"]).headers_for("http://a.b"))
"""


def test_without_opentelemetry_request_ids_work_and_the_rest_says_what_is_missing() -> None:
    needed = 'trace and baggage need opentelemetry-api: pip install "tlctx[headers]"'
    context = "only trace=True or baggage=True reads what an OpenTelemetry context is made from"
    expected = [needed, needed, context, "{'X-Request-ID': 'abc'}"]
    assert run_program(WITHOUT_OPENTELEMETRY).splitlines() == expected
