"""Where code of a request stands in a greenlet."""

from __future__ import annotations

import pytest
from support.helpers import run_program

pytest.importorskip("gevent", reason="needs gevent")

PATCHED = """
    import gevent.monkey; gevent.monkey.patch_all()
    import gevent, gevent.event, sys, threading
    from tlctx import RequestContext, Scope
    from tlctx.lowlevel import bound, is_running, stack_of

    ctx = RequestContext()
    scopes, go = {}, gevent.event.Event()

    def functions(scope):
        assert is_running(scope) == bool(stack_of(scope))
        return [frame.name for frame in stack_of(scope) if frame.filename == "<string>"]

    def serve(name, code, *args):
        with ctx.scope() as scopes[name]:
            code(*args)

    def wait():
        go.wait(60)

    def wait_more():
        wait()
"""


def test_each_greenlet_has_a_stack_of_its_own() -> None:
    printed = run_program(f"""{PATCHED}
    def look():
        print(functions(scopes["look"]))
    greenlets = [gevent.spawn(serve, "one", wait), gevent.spawn(serve, "two", wait_more)]
    gevent.sleep(0)
    print(functions(scopes["one"]), functions(scopes["two"]))
    greenlets.append(gevent.spawn(serve, "look", look))
    gevent.sleep(0)
    with ctx.scope() as main:
        print(functions(main))
        gevent.spawn(lambda: print(functions(main))).join()
        for scope in (scopes["one"], other := Scope(ctx)):
            with bound(scope):
                gevent.spawn(lambda: print(functions(scope))).join()
            print(functions(scope), is_running(main))
        other.close()
    go.set()
    gevent.joinall(greenlets, raise_error=True)
    print([functions(scope) for scope in scopes.values()])
    """)
    assert printed.splitlines() == [
        "['serve', 'wait'] ['serve', 'wait_more', 'wait']",
        "['serve', 'look', 'functions']",
        "['<module>', 'functions']",
        "['<module>']",
        "['<module>']",
        "[] True",
        "['<module>']",
        "[] True",
        "[[], [], []]",
    ]


def test_a_greenlet_that_blocks_the_hub_is_seen_from_a_thread() -> None:
    printed = run_program(f"""{PATCHED}
    allocate_lock, start = gevent.monkey.get_original("_thread", ["allocate_lock", "start_new_thread"])
    blocked, found = allocate_lock(), allocate_lock()
    blocked.acquire(), found.acquire()

    def block():
        blocked.release()
        found.acquire()

    def look():
        blocked.acquire()
        for name in ("blocks", "waits"):
            seen.append(functions(scopes[name]))
        found.release()

    seen = []
    start(look, ())
    waits = gevent.spawn(serve, "waits", wait)
    gevent.sleep(0)
    gevent.spawn(serve, "blocks", block).join()
    print(seen)
    found.release()
    gevent.spawn(start, lambda: (blocked.acquire(), seen.append(functions(main)), found.release()), ()).join()
    found.acquire()
    with ctx.scope() as main:
        block()
    print(seen[-1])
    go.set()
    waits.join()
    """)
    assert printed.splitlines() == ["[['serve', 'block'], ['serve', 'wait']]", "['<module>', 'block']"]


def test_greenlets_that_share_a_thread_without_a_patch_have_theirs_while_they_wait() -> None:
    printed = run_program("""
    import greenlet
    from tlctx import RequestContext, Scope
    from tlctx.lowlevel import bound, is_running, stack_of

    ctx = RequestContext()
    main = greenlet.getcurrent()
    scopes = [Scope(ctx), Scope(ctx)]

    def functions(scope):
        return [frame.name for frame in stack_of(scope) if frame.filename == "<string>"]

    def first():
        scopes[0].run(main.switch)

    def second():
        with scopes[1]:
            main.switch()

    greenlets = [greenlet.greenlet(first), greenlet.greenlet(second)]
    for one in greenlets:
        one.switch()
    print([(is_running(scope), functions(scope)) for scope in scopes])
    for one in greenlets:
        one.switch()
    print([(is_running(scope), functions(scope)) for scope in scopes])
    scopes[0].close()
    """)
    assert printed.splitlines() == [
        "[(True, ['first']), (True, ['second'])]",
        "[(False, []), (False, [])]",
    ]
