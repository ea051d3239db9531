"""Metrics in processes of their own: what is imported there, and what a fork and the exit do."""

from __future__ import annotations

import os
import sys

import pytest
from support.checkout import CHECKOUT
from support.helpers import run_program


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_process_that_was_forked_begins_anew_and_what_is_left_is_handed_on_at_its_exit() -> None:
    program = """
        import os, sys, warnings
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork where there are threads
        from support.metrics import Kept
        from support.requests import REQUEST, ctx, hello, stream
        from support.helpers import start_nothing
        from tlctx import ContextMiddleware

        class Prints(Kept):
            def _sample(self):
                print(sys.argv[1:], self._in_flight(), len(self.ended), self._thread is not None, flush=True)

        metrics = Prints()
        app = ContextMiddleware(stream(b"a"), ctx)
        body = app(dict(REQUEST), start_nothing)
        app(dict(REQUEST), start_nothing).close()
        if not os.fork():
            assert (metrics._in_flight(), metrics._thread, list(metrics._ended)) == (0, None, [])
            app(dict(REQUEST), start_nothing).close()
            assert metrics._thread.is_alive()
            sys.argv[1:] = ["child"]
            sys.exit()
        os.wait()
        if not os.fork():
            sys.argv[1:] = ["idle child"]
            sys.exit()
        os.wait()
        body.close()
    """
    printed = run_program(program, PYTHONPATH=os.pathsep.join(map(str, [CHECKOUT / "tests", *sys.path])))
    lines = printed.splitlines()
    assert "['child'] 0 1 True" in lines
    assert lines[-1] == "[] 0 2 True"
    assert not [line for line in lines if "idle" in line]


def test_it_imports_neither_package_before_that_is_used() -> None:
    program = "import sys, tlctx.metrics; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = run_program(program)
    assert "'tlctx'" in loaded
    assert "prometheus_client" not in loaded
    assert "opentelemetry" not in loaded
