"""Every command of a scenario, with the arguments that hypothesis may give it."""

from __future__ import annotations

from typing import Any

from differential.application import FAULTS
from differential.fuzz import indices
from hypothesis import strategies as st

contexts = st.sampled_from([0, 0, 0, 0, 0, 1, 2])
fields = st.sampled_from(
    [
        "user",
        "user",
        "tenant",
        "made",
        "finishing",
        "finishing",
        "failing",
        "fails_at_the_end",
        "method",
        "other",
        "__dict__",
    ]
)
values = st.sampled_from(["ann", 5, "token", "cycle"])
firsts = st.dictionaries(st.sampled_from(["user", "other", "method"]), st.just("first"), max_size=1)
faults = st.sampled_from(sorted(FAULTS))
maybe = st.none() | faults
some_paths = st.sampled_from([None, "/path", "/a\nb"])


def command(name: str, *arguments: Any) -> Any:
    return st.tuples(st.just(name), *arguments)


uses = st.one_of(
    command("write", contexts, fields, values),
    command("read", contexts, fields),
    command("delete", contexts, fields),
    command("get", contexts, fields),
    command("list", contexts),
    command("map", contexts),
    command("keep", contexts),
    command("manage", contexts, st.sampled_from(["", "swallow", "ValueError", "SystemExit"])),
)
lives = st.one_of(
    command("describe", indices),
    command("bind", indices),
    command("enter", indices),
    command("exit", indices, maybe),
    command("close", indices, maybe),
    command("fail", indices, faults),
    command("forget_scope", indices),
)
makes = command("make", contexts, firsts, some_paths, st.sampled_from(["", "bind", "bind", "enter"]))
ends = command("close_body", indices) | command("drop_body", indices)
steps = st.one_of(command("iterate", indices), command("next", indices), command("len", indices), ends)
kinds_of_environ = st.sampled_from(["plain", "plain", "outer", "file", "sealed", "function", "odd"])
kinds_of_body = st.sampled_from(
    [
        "generator",
        "generator",
        "generator",
        "list",
        "tuple",
        "None",
        "map",
        "file",
        "iterable",
        "iterator",
        "sized",
        "by index",
    ]
)


def nested(inner: Any) -> Any:
    several = st.lists(inner, max_size=3)
    return st.one_of(
        command("block", contexts, firsts, several),
        command("callback", contexts, several),
        command("callback_of", indices, several),
        command("propagated", indices, several),
        command("elsewhere", inner),
        command("in_a_coroutine", several),
        requests(several),
    )


def requests(several: Any) -> Any:
    first = st.sampled_from(["none", "none", "none", "none", "zoe", "fails", "wrong"])
    return command(
        "request", contexts, kinds_of_environ, first, several, kinds_of_body, st.lists(several, max_size=3), several
    )


simple = st.one_of(
    uses,
    uses,
    uses,
    makes,
    lives,
    steps,
    command("raise", faults),
    command("unbind", indices),
    command("step", indices),
)
inside = st.recursive(simple, nested, max_leaves=5)
changes = st.one_of(command("begin", st.booleans()), command("end"), command("fail_in_init", st.none() | maybe))
