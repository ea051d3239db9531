"""The accelerator in subinterpreters, in forked children, and where gevent patches threads while it is in use."""

from __future__ import annotations

import sys

import pytest
from support.helpers import run_program

import tlctx


def test_gevent_that_patches_while_a_scope_is_bound_leaves_it_to_its_greenlet() -> None:
    program = """
        import tlctx
        instance = tlctx.local()
        instance.x = "main"
        with tlctx.ctx.scope(user="main"):
            import gevent.monkey; gevent.monkey.patch_all()
            import gevent
            wrong = []

            def serve(number):
                if getattr(tlctx.ctx, "user", None) is not None or hasattr(instance, "x"):
                    wrong.append(number)
                with tlctx.ctx.scope(user=number):
                    instance.x = number
                    for _ in range(3):
                        gevent.sleep(0)
                        if (tlctx.ctx.user, instance.x) != (number, number):
                            wrong.append(number)

            gevent.joinall([gevent.spawn(serve, number) for number in range(100)])
            print(wrong, tlctx.ctx.user, instance.x)
        print(getattr(tlctx.ctx, "user", None), len(tlctx.ctx._local__impl.dicts))
    """
    assert run_program(program) == "[] main main\nNone 0\n"


def test_a_forked_child_has_nothing_of_a_thread_whose_scope_was_in_the_cache_alone() -> None:
    program = """
        import os, threading, warnings
        import tlctx
        from tlctx import ctx

        warnings.simplefilter("ignore", DeprecationWarning)  # of fork with threads, which is the point
        bound, release = threading.Event(), threading.Event()

        def serve():
            with ctx.scope(user="the other's"):
                bound.set()
                release.wait(60)

        other = threading.Thread(target=serve)
        other.start()
        bound.wait(60)
        child = os.fork()
        if child == 0:
            before = getattr(ctx, "user", None)
            with ctx.scope(user="mine"):
                print(before, ctx.user, len(ctx._local__impl.dicts), flush=True)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        release.set()
        other.join()
        print(status, getattr(ctx, "user", None), len(ctx._local__impl.dicts))
    """
    assert run_program(program) == "None mine 1\n0 None 0\n"


INTERPRETERS = {
    (3, 11): ("_xxsubinterpreters", "isolated=False", None),
    (3, 12): ("_xxsubinterpreters", "isolated=False", "isolated=True"),
}
"""By the interpreter's version: the module, and how it makes one with the GIL of all, and one with a GIL of its own."""


@pytest.mark.parametrize("own_gil", [False, True], ids=["shared-gil", "own-gil"])
def test_tlctx_works_in_subinterpreters_and_ends_with_them(*, own_gil: bool) -> None:
    module, shared, own = INTERPRETERS.get(sys.version_info[:2], ("_interpreters", "'legacy'", "'isolated'"))
    if own_gil and own is None:
        pytest.skip("interpreters share their GIL up to CPython 3.11")
    program = f"""
        import {module} as interpreters

        source = '''
        import threading, tlctx
        from tlctx import ContextMiddleware, ctx, local

        instance = local()
        instance.x = 1
        seen = []
        thread = threading.Thread(target=lambda: seen.append(getattr(instance, "x", None)))
        thread.start()
        thread.join()
        app = ContextMiddleware(lambda environ, start: [ctx.user], ctx, lambda environ: {{"user": b"ann"}})
        body = ContextMiddleware(lambda environ, start: (part for part in [b"x"]), ctx)({{}}, None)
        print(tlctx.IMPLEMENTATION, instance.x, seen, app({{}}, None), list(body), flush=True)
        body.close()
        '''
        for _ in range(3):
            inner = interpreters.create({own if own_gil else shared})
            failed = interpreters.run_string(inner, source.replace("\\n        ", "\\n"))
            interpreters.destroy(inner)
            if failed:
                print(failed)
    """
    assert run_program(program) == 3 * f"{tlctx.IMPLEMENTATION} 1 [None] [b'ann'] [b'x']\n"
