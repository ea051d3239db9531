"""The error where a context is used without a request names what helps, in greenlets and in other processes too."""

from __future__ import annotations

import re
import textwrap

import pytest
from support.helpers import run_program

PROGRAM = """
    import warnings
    warnings.simplefilter("ignore")  # eventlet is deprecated
    {imports}
    import multiprocessing, re, threading
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    from tlctx import ctx

    def read():
        try:
            ctx.user
        except RuntimeError as error:
            return ", ".join(code.partition("(")[0] for code in re.findall("`(.+?)`", str(error)))

    def print_read():
        print(read())

    def in_thread():
        thread = threading.Thread(target=print_read)
        thread.start()
        thread.join()

    def in_pool():
        with ThreadPoolExecutor(1) as pool:
            pool.submit(print_read).result()

    def request():
        with ctx.scope(user="ann"):
            {started}

    {serve}
"""
GEVENT = "import gevent.monkey; gevent.monkey.patch_all(); import gevent"
SPAWNED = "tlctx.threads.gevent.spawn, tlctx.threads.gevent.Pool, with ctx.scope"
WRAPPED = "tlctx.threads.wrap, with ctx.scope"
THREAD = f"tlctx.threads.Thread, {WRAPPED}"
WORKER = f"tlctx.threads.ThreadPoolExecutor, {WRAPPED}"
FORKED = """
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool, ProcessPoolExecutor(1, context) as executor:
        executor.submit(int).result()  # so that it has a process before there is a scope
        request()
"""


@pytest.mark.parametrize(
    ("imports", "started", "serve"),
    [
        (
            GEVENT,
            {
                "gevent.spawn(print_read).join()": SPAWNED,
                "gevent.spawn_later(0, print_read).join()": SPAWNED,
                "gevent.spawn_raw(print_read), gevent.sleep(0)": WRAPPED,
                "in_thread()": THREAD,
                "in_pool()": WORKER,
            },
            "request()",
        ),
        (
            "import gevent",
            {
                "gevent.spawn(print_read).join()": SPAWNED,
                "gevent.get_hub().threadpool.apply(print_read)": WRAPPED,
                "in_thread()": THREAD,
            },
            "gevent.spawn(request).join()",
        ),
        (
            "import eventlet, eventlet.tpool; eventlet.monkey_patch()",
            {
                "eventlet.spawn(print_read).wait()": WRAPPED,
                "eventlet.tpool.execute(print_read)": WRAPPED,
                "in_thread()": THREAD,
            },
            "request()",
        ),
        (
            "",
            {
                "print(pool.apply(read))": "with ctx.scope",
                "print(executor.submit(read).result())": "with ctx.scope",
            },
            FORKED,
        ),
    ],
    ids=["gevent", "unpatched gevent", "eventlet", "processes"],
)
def test_the_error_names_the_helpers_in_greenlets_and_processes(
    imports: str, started: dict[str, str], serve: str
) -> None:
    for package in re.findall(r"import (\w+)", imports):
        pytest.importorskip(package, reason=f"needs {package}")
    program = textwrap.dedent(PROGRAM).format(imports=imports, started="; ".join(started), serve=textwrap.dedent(serve))
    shown = run_program(program).splitlines()
    assert dict(zip(started, shown, strict=True)) == started
