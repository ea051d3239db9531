"""What leaves with requests of requests and httpx, read from the wire."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
from support.headers import TRACEPARENT, HeadersCtx
from support.wire import Wire, recording

from tlctx.headers import Headers
from tlctx.lowlevel import assigned_values

if TYPE_CHECKING:
    from collections.abc import Iterator

requests = pytest.importorskip("requests")
httpx = pytest.importorskip("httpx")
pytest.importorskip("opentelemetry.baggage")
from support.clients import of_async_httpx, of_httpx, of_requests  # noqa: E402

ALL = {"x-request-id", "traceparent", "tracestate", "baggage", "x-tenant"}
VALUES = {
    "request_id": "abc-1",
    "traceparent": TRACEPARENT,
    "tracestate": "vendor=1",
    "baggage": "region=eu;p=1,secret=s3cret",
    "user": "s3cret-user",
    "tenant": "acme",
}


@pytest.fixture
def ctx() -> Any:
    return HeadersCtx()


@pytest.fixture
def headers(ctx: Any) -> Headers:
    return Headers(ctx, trace=True, baggage=True)


@pytest.fixture
def allowed() -> Iterator[Wire]:
    with recording() as wire:
        yield wire


@pytest.fixture
def other() -> Iterator[Wire]:
    with recording() as wire:
        yield wire


Client = Any


each_client = pytest.mark.parametrize("client", [of_requests, of_httpx, of_async_httpx])


@each_client
def test_an_allowed_host_gets_what_is_allowed_and_nothing_else(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    outbound = headers.outbound(to=[allowed.host], fields={"tenant": "X-Tenant"}, baggage=["region"])
    with ctx.scope(**VALUES):
        client(outbound)(f"{allowed.url}/path")
    sent = {name: value for name, value in allowed.headers().items() if name in ALL}
    assert sent == {
        "x-request-id": "abc-1", "traceparent": TRACEPARENT, "tracestate": "vendor=1", "baggage": "region=eu;p=1",
        "x-tenant": "acme",
    }  # fmt: skip
    assert b"s3cret" not in allowed.requests[0]


@each_client
def test_what_nobody_allowed_to_leave_is_not_on_the_wire(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    with ctx.scope(**VALUES):
        client(headers.outbound(to=[allowed.host], request_id=False, trace=False))(allowed.url)
        client(headers.outbound(to=["other.internal"], fields={"user": "X-User"}, baggage=["secret"]))(allowed.url)
        client()(allowed.url)
    for number in range(3):
        assert not ALL & set(allowed.headers(number))
        assert not any(value.encode() in allowed.requests[number] for value in VALUES.values())


@each_client
def test_without_more_than_hosts_the_request_id_and_the_trace_are_sent(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    with ctx.scope(**VALUES):
        client(headers.outbound(to=[allowed.host]))(allowed.url)
    assert ALL & set(allowed.headers()) == {"x-request-id", "traceparent", "tracestate"}


@each_client
def test_a_redirect_to_another_host_takes_nothing_along_and_one_back_gets_it_again(
    client: Client, ctx: Any, headers: Headers, allowed: Wire, other: Wire
) -> None:
    outbound = headers.outbound(to=[allowed.host], fields={"tenant": "X-Tenant"}, baggage=["region"])
    back = f"{other.url}/to/{quote(allowed.url + '/back', safe='')}"
    with ctx.scope(**VALUES):
        client(outbound)(f"{allowed.url}/to/{quote(back, safe='')}")
    assert len(allowed.requests) == 2
    assert ALL & set(allowed.headers(0)) == ALL & set(allowed.headers(1)) == ALL
    (there,) = other.requests
    assert not ALL & set(other.headers())
    assert not any(value.encode() in there for value in VALUES.values())


@each_client
def test_a_redirect_from_another_host_to_an_allowed_one_gets_them_there(
    client: Client, ctx: Any, headers: Headers, allowed: Wire, other: Wire
) -> None:
    with ctx.scope(**VALUES):
        client(headers.outbound(to=[allowed.host]))(f"{other.url}/to/{quote(allowed.url, safe='')}")
    assert "x-request-id" not in other.headers()
    assert allowed.headers()["x-request-id"] == "abc-1"


@each_client
@pytest.mark.parametrize(
    "location", ["http://{allowed}\\@{other}/", "http://{allowed}@{other}/", "//{other}/", "http://{other}#@{allowed}/"]
)
def test_a_redirect_with_a_url_that_parsers_read_differently_gives_nothing_away(
    client: Client, ctx: Any, headers: Headers, allowed: Wire, other: Wire, location: str
) -> None:
    target = location.format(allowed=allowed.host, other=other.host)
    with ctx.scope(**VALUES):
        with contextlib.suppress(requests.RequestException, httpx.HTTPError, httpx.InvalidURL):  # it refuses the URL
            client(headers.outbound(to=[allowed.host]))(f"{allowed.url}/to/{quote(target, safe='')}")
    assert allowed.headers(0)["x-request-id"] == "abc-1"
    for number in range(len(other.requests)):
        assert "x-request-id" not in other.headers(number)


@each_client
def test_two_setups_on_one_client_each_serve_their_hosts(
    client: Client, ctx: Any, headers: Headers, allowed: Wire, other: Wire
) -> None:
    one = headers.outbound(to=[allowed.host], trace=False)
    two = headers.outbound(to=[other.host], request_id=False, fields={"tenant": "X-Tenant"}, trace=False)
    with ctx.scope(**VALUES):
        client(one, two, one)(f"{allowed.url}/to/{quote(other.url, safe='')}")
    assert ALL & set(allowed.headers()) == {"x-request-id"}
    assert ALL & set(other.headers()) == {"x-tenant"}


@each_client
def test_a_header_that_the_caller_sets_stays_and_is_the_callers_affair(
    client: Client, ctx: Any, headers: Headers, allowed: Wire, other: Wire
) -> None:
    own = {"X-Request-Id": "own", "Traceparent": "own"}
    with ctx.scope(**VALUES):
        client(headers.outbound(to=[allowed.host]))(f"{allowed.url}/to/{quote(other.url, safe='')}", headers=own)
    for wire in (allowed, other):
        assert (wire.headers()["x-request-id"], wire.headers()["traceparent"]) == ("own", "own")
    assert allowed.headers()["tracestate"] == "vendor=1"
    assert "tracestate" not in other.headers()


@each_client
def test_a_request_that_authentication_repeats_has_them_once_each(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    auth = requests.auth.HTTPDigestAuth if client is of_requests else httpx.DigestAuth
    with ctx.scope(**VALUES):
        client(headers.outbound(to=[allowed.host]))(f"{allowed.url}/digest", auth=auth("user", "password"))
    assert [allowed.headers(number)["x-request-id"] for number in range(2)] == ["abc-1", "abc-1"]
    assert "authorization" in allowed.headers()


@each_client
def test_outside_a_request_and_after_its_end_nothing_is_sent(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    outbound = headers.outbound(to=[allowed.host], fields={"tenant": "X-Tenant"}, baggage=["region"])
    client(outbound)(allowed.url)
    with ctx.scope(**VALUES) as scope:
        scope.close()
        client(outbound)(allowed.url)
    for number in range(2):
        assert not ALL & set(allowed.headers(number))


@each_client
def test_a_plain_thread_sends_nothing_and_one_with_the_values_sends_them(
    client: Client, ctx: Any, headers: Headers, allowed: Wire
) -> None:
    outbound = headers.outbound(to=[allowed.host])
    with ctx.scope(**VALUES) as scope:
        values = assigned_values(scope)

    def enter_and_send() -> None:
        with ctx.scope(**values):
            client(outbound)(allowed.url)

    for job in (lambda: client(outbound)(allowed.url), enter_and_send):
        thread = threading.Thread(target=job)
        thread.start()
        thread.join()
    assert not ALL & set(allowed.headers(0))
    assert allowed.headers(1)["x-request-id"] == "abc-1"


def test_a_shared_async_client_sends_each_task_its_own(ctx: Any, headers: Headers, allowed: Wire) -> None:
    client = httpx.AsyncClient(trust_env=False, verify=False)
    headers.outbound(to=[allowed.host]).install(client)

    async def send(number: int) -> None:
        with ctx.scope(request_id=f"id-{number}"):
            await client.get(f"{allowed.url}/{number}")

    async def send_all() -> None:
        async with client:
            await asyncio.gather(*[send(number) for number in range(20)])

    asyncio.run(send_all())
    assert len(allowed.requests) == 20
    for number in range(20):
        path = allowed.requests[number].split(b" ")[1].decode()
        assert allowed.headers(number)["x-request-id"] == f"id-{path[1:]}"


@pytest.mark.parametrize("kind", ["requests", "httpx"])
def test_the_next_request_that_a_caller_sends_itself_takes_nothing_to_another_host(
    kind: str, ctx: Any, headers: Headers, allowed: Wire, other: Wire
) -> None:
    outbound = headers.outbound(to=[allowed.host])
    url = f"{allowed.url}/to/{quote(other.url, safe='')}"
    with ctx.scope(**VALUES):
        if kind == "requests":
            with requests.Session() as session:
                session.trust_env = False
                outbound.install(session)
                session.send(session.get(url, allow_redirects=False).next)
        else:
            with httpx.Client(trust_env=False, verify=False) as client:
                outbound.install(client)
                client.send(client.get(url).next_request)
    assert allowed.headers()["x-request-id"] == "abc-1"
    assert not ALL & set(other.headers())
