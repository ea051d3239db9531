"""What a header may hold, and how much of it is read."""

from __future__ import annotations

from typing import Any

import pytest
from support.headers import FORGED, SPAN_ID, TRACE_ID, TRACEPARENT

from tlctx.headers import _rules
from tlctx.headers._hosts import Hosts, Origin, origin_of


@pytest.mark.parametrize("value", FORGED.values(), ids=FORGED)
def test_a_request_id_of_other_characters_or_too_long_is_refused(value: str) -> None:
    assert not _rules.is_request_id(value)


@pytest.mark.parametrize("value", ["a", "A-Z.a_z-0.9", "a" * 128])
def test_a_request_id_of_letters_digits_dots_hyphens_and_underscores_is_accepted(value: str) -> None:
    assert _rules.is_request_id(value)


def test_a_new_request_id_is_valid_and_never_the_same() -> None:
    ids = {_rules.new_request_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(map(_rules.is_request_id, ids))


@pytest.mark.parametrize(
    "value", [TRACEPARENT, f" {TRACEPARENT}\t", f"cc-{TRACE_ID}-{SPAN_ID}-01-what", f"00-{'0' * 32}-{SPAN_ID}-00"]
)
def test_what_has_the_fields_of_a_traceparent_is_left_to_the_propagator(value: str) -> None:
    assert _rules.the_traceparent([value]) == value


@pytest.mark.parametrize(
    "values",
    [[], [TRACEPARENT, TRACEPARENT], [f"{TRACEPARENT},{TRACEPARENT}"], [f"{TRACEPARENT}\n"], [f"{TRACEPARENT}\x85"],
     [TRACEPARENT.upper()], [TRACEPARENT[:-1]], [f"cc-{TRACE_ID}-{SPAN_ID}-01-{'a' * 500}"],
     [f"cc-{TRACE_ID}-{SPAN_ID}-01-a\nb"]],
)  # fmt: skip
def test_a_repeated_or_otherwise_broken_traceparent_is_none(values: list[str]) -> None:
    assert _rules.the_traceparent(values) is None


def test_the_members_of_a_repeated_tracestate_come_in_order_without_empty_ones() -> None:
    assert _rules.tracestate_members(["a=1,, b=2 ", "", "c@d=x y"]) == ["a=1", "b=2", "c@d=x y"]


def members(number: int) -> list[str]:
    return [f"k{place}=v" for place in range(number)]


@pytest.mark.parametrize("headers", [1, 2], ids=["in one header", "over two headers"])
def test_a_tracestate_has_32_members_at_most_or_is_invalid(headers: int) -> None:
    def received(number: int) -> list[str]:
        half = members(number)[: number // 2], members(number)[number // 2 :]
        return [",".join(members(number))] if headers == 1 else [",".join(part) for part in half]

    assert _rules.tracestate_members(received(32)) == members(32)
    assert _rules.tracestate_members(received(33)) is None


@pytest.mark.parametrize("value", ["a=1,a=2", "a", "A=1", "a=1\n", "a=\x85", "a=b=c", "a=" + "x" * 257, "x" * 9000])
def test_a_tracestate_with_one_wrong_member_is_invalid(value: str) -> None:
    assert _rules.tracestate_members([value]) is None


@pytest.mark.parametrize("key", ["a" * 256, "1" * 241 + "@" + "s" * 14, "a_-*/0"])
def test_a_tracestate_takes_the_longest_keys_that_the_rules_allow(key: str) -> None:
    assert _rules.tracestate_members([f"{key}={'x' * 256}"]) is not None
    assert _rules.tracestate_members([f"{key}.={'x' * 256}"]) is None


def test_baggage_takes_64_members_and_drops_the_rest() -> None:
    assert _rules.split_baggage([",".join(members(64))]) == (members(64), True)
    assert _rules.split_baggage([",".join(members(65))]) == (members(64), False)
    assert _rules.split_baggage([*members(65)]) == (members(64), False)


def test_baggage_takes_8192_bytes_and_drops_the_member_that_goes_beyond() -> None:
    first = f"a={'x' * 4000}"
    second = f"b={'x' * (8192 - len(first) - 1 - 2)}"
    assert len(f"{first},{second}") == 8192
    for received in ([f"{first},{second}"], [first, second]):
        assert _rules.split_baggage(received) == ([first, second], True)
    for received in ([f"{first},{second}x"], [first, f"{second}x"], [first, second, "c=1"]):
        assert _rules.split_baggage(received)[1] is False
    assert _rules.split_baggage([first, f"{second}x"]) == ([first], False)
    assert _rules.split_baggage(["x" * 500_000]) == ([], False)


class CountingText(str):
    """Counts how much of it is searched and copied."""

    __slots__ = ("read",)

    def find(self, sub: str, start: Any = 0, end: Any = None) -> int:
        self.read = max(getattr(self, "read", 0), len(self) if end is None else end)
        return str.find(self, sub, start, end)


def test_no_more_of_a_header_is_read_than_the_limit() -> None:
    endless = CountingText("x" * 500_000)
    assert _rules.split_baggage([endless]) == ([], False)
    assert endless.read <= _rules.LONGEST + 1
    many = CountingText("a=1," * 100_000)
    assert _rules.split_baggage([many])[1] is False
    assert many.read <= _rules.LONGEST + 65 * 4


def test_what_comes_after_the_limit_is_not_even_asked_for() -> None:
    def headers() -> Any:
        yield "a=1"
        yield "x" * 9000
        raise AssertionError("read on")

    assert _rules.split_baggage(headers()) == (["a=1"], False)


@pytest.mark.parametrize(
    "member", ["a=1", "a = 1", "a=", "a=%20b", "a=1;p", "a=1 ; p=2;q = 3", "!#$%&'*+-.^_`|~=x", "a=b=c"]
)
def test_a_member_of_baggage_is_kept_as_it_came(member: str) -> None:
    assert _rules.split_baggage([f" {member}\t"]) == ([member], True)


@pytest.mark.parametrize(
    "member",
    ["a", "=1", "a b=1", 'a="x"', "a=x y", "a=\\", "a=\x85", "a=\n", "a=1\n", "\xe9=1", "a=1;", "a=1;=2", "a=1;p q"],
)
def test_a_member_of_baggage_that_breaks_a_rule_is_dropped_and_the_others_are_kept(member: str) -> None:
    assert _rules.split_baggage([f"a=0,{member},z=9"]) == (["a=0", "z=9"], False)


def test_a_member_made_to_slow_down_its_reader_does_not() -> None:
    for part in (" ", ";a", "; a ", ";a=b ", "a="):
        assert _rules.split_baggage([("k=v" + part * 8000)[:8000] + "\\"]) == ([], False)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://orders.internal/a?b", ("http", "orders.internal", 80)),
        ("https://ORDERS.internal:8443", ("https", "orders.internal", 8443)),
        ("https://user:secret@orders.internal/", ("https", "orders.internal", 443)),
        ("http://orders.internal@evil.example/", ("http", "evil.example", 80)),
        ("http://[::1]:8080/", ("http", "::1", 8080)),
        ("http://evil.example#@orders.internal/", ("http", "evil.example", 80)),
        ("http://evil.example\\@orders.internal/", None),
        ("http://evil.example\\.orders.internal/", None),
        ("http://a@evil.example@orders.internal/", None),
        ("http://evil.example /@orders.internal/", None),
        ("http://orders.internal:port/", None),
        ("http://orders.internal:99999/", None),
        ("ftp://orders.internal/", None),
        ("orders.internal", None),
        ("http:///path", None),
        ("http://[::1/", None),
        ("", None),
    ],
)
def test_where_a_url_leads_is_known_or_it_is_left_alone(url: str, origin: Any) -> None:
    assert origin_of(url) == (origin and Origin(*origin))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("orders.internal", ["http://orders.internal", "https://Orders.Internal:8443/x"],
         ["http://a.orders.internal", "http://orders.internal.evil.example", "http://evilorders.internal",
          "http://orders.internal./"]),
        ("Orders.internal:80", ["http://orders.internal", "http://orders.internal:80"],
         ["https://orders.internal", "http://orders.internal:8080"]),
        ("https://orders.internal", ["https://orders.internal", "https://orders.internal:443"],
         ["http://orders.internal", "https://orders.internal:444", "http://orders.internal:443"]),
        ("https://orders.internal:8443", ["https://orders.internal:8443"], ["https://orders.internal"]),
        ("*.svc.internal", ["http://a.svc.internal", "http://b.a.svc.internal:1"],
         ["http://svc.internal", "http://evilsvc.internal", "http://a.svc.internal.evil.example"]),
        ("[::1]:80", ["http://[::1]/"], ["http://[::1]:81/", "http://127.0.0.1/"]),
        ("b\xfccher.example", ["http://xn--bcher-kva.example"], ["http://bucher.example"]),
    ],
)  # fmt: skip
def test_a_host_is_allowed_by_name_port_and_scheme(pattern: str, matching: list[str], others: list[str]) -> None:
    hosts = Hosts(["else.where", pattern])
    for url in matching:
        origin = origin_of(url)
        assert origin is not None
        assert origin in hosts, url
    for url in others:
        origin = origin_of(url)
        assert origin is not None
        assert origin not in hosts, url


@pytest.mark.parametrize(
    "pattern", ["*", "*.", "", "a.*.b", "http://", "ftp://a", "http://a/path", "a b", "u@a", "a:b", "a:99999"]
)
def test_what_is_no_host_is_refused_with_examples(pattern: str) -> None:
    with pytest.raises(ValueError, match="is no host"):
        Hosts([pattern])


def test_hosts_are_a_list() -> None:
    with pytest.raises(TypeError, match=r"a list of hosts: \['orders.internal'\]"):
        Hosts("orders.internal")
