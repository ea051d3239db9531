"""Faults of the application itself: exceptions, broken answers, odd ones, and ends that fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from servers.visit import (
    DROPS,
    GUNICORN_HTTP1,
    KILLS_BJOERN,
    KILLS_CHEROOT,
    KILLS_HYPERCORN,
    KILLS_TORNADO,
    KILLS_WERKZEUG,
    NOWHERE,
    TWISTED,
    Visit,
    fault,
    raising,
    simple,
)

if TYPE_CHECKING:
    from servers.server_table import Server

KILLED_BY_EXIT = KILLS_WERKZEUG | KILLS_CHEROOT | KILLS_TORNADO | KILLS_BJOERN
KILLED_BY_INTERRUPT = KILLS_WERKZEUG | KILLS_CHEROOT | KILLS_TORNADO | KILLS_HYPERCORN

# Exceptions

for before_the_body in ("raise_before_start_response", "raise_after_start_response", "raise_after_write"):
    simple(before_the_body)
for in_the_body in ("raise_in_first_chunk", "raise_in_middle_chunk"):
    simple(in_the_body, naive_leaks=TWISTED)


def alone_on_uwsgi(server: Server) -> tuple[str, ...] | None:
    """Up to CPython 3.12 an exit on any other thread waits for the main one, which goes on serving meanwhile."""
    return () if server.name == "uwsgi" else None


raising("stop_iteration")
raising("system_exit", dies=KILLED_BY_EXIT, apart=alone_on_uwsgi)
raising("keyboard_interrupt", dies=KILLED_BY_INTERRUPT)
raising(
    "system_exit_in_chunk", "raise_in_chunk", dies=KILLED_BY_EXIT, naive_leaks=("uwsgi", "bjoern", "twisted"),
    apart=alone_on_uwsgi,
)  # fmt: skip
raising("keyboard_interrupt_in_chunk", "raise_in_chunk", dies=KILLED_BY_INTERRUPT, naive_leaks=TWISTED)
for error in ("generator_exit", "greenlet_exit", "gevent_timeout"):
    raising(error, dies=KILLS_WERKZEUG)
    raising(f"{error}_in_chunk", "raise_in_chunk", dies=KILLS_WERKZEUG, naive_leaks=TWISTED)

# Answers that break PEP 3333

simple("return_none", naive_leaks=("granian", "twisted"))
simple("return_str", naive_leaks=TWISTED)
simple("return_number", naive_leaks=("granian", "twisted"))
simple("never_start_response", naive_leaks=("cheroot", "twisted"))
simple("chunk_is_no_bytes", naive_leaks=TWISTED)
simple("content_length_too_large", close=True, naive_leaks=NOWHERE)
simple("content_length_too_small", close=True, naive_leaks=NOWHERE, naive_varies=DROPS)

# Answers that are unusual, and valid

simple("head", "stream", "HEAD", naive_leaks=NOWHERE, naive_varies=DROPS)
for odd in ("empty_generator", "no_content", "not_modified", "exc_info_before_headers"):
    simple(odd, naive_leaks=NOWHERE)
simple("exc_info_after_headers", naive_leaks=TWISTED)

# Ends of a body, and of a request

simple("close_raises")
simple("close_twice", reported=(0, 0), naive_leaks=NOWHERE)
simple("close_on_another_thread")
simple("teardown_raises", reported=(0, 1))
simple("teardown_raises_after_stream", reported=(0, 1))
simple("applied_twice", naive_leaks=NOWHERE)


@fault(reported=(0, 0))  # it was read to its end
def close_never_collected_on_the_same_thread(visit: Visit) -> None:
    visit.ask("close_never")
    visit.expect(visit.ask("drop_kept_body"), 200)


@fault(reported=(0, 0))  # it was read to its end
def close_never_collected_on_another_thread(visit: Visit) -> None:
    visit.ask("close_never")
    visit.expect(visit.ask("drop_kept_body_on_another_thread"), 200)


simple("never_closed_after_its_last_chunk", reported=(0, 0))

# Ends before the body goes out


@fault(reported=(0, 0))
def closed_early(visit: Visit) -> None:
    visit.expect(visit.ask("closed_early"), 200, b"late " * 3)


simple("closed_early_and_the_teardown_raises", reported=(0, 1))
simple("closed_early_and_the_body_reads_on", reported=(0, 0))
simple("flask_streams", naive_leaks=NOWHERE, reported=(0, 0))
simple("flask_teardown_raises", reported=(0, 1))


@fault(reported=(0, 0))
def flask_answers(visit: Visit) -> None:
    visit.expect(visit.ask("flask_answers"), 200, b"late")


# The server's own end

simple("access_log_raises", naive_leaks=GUNICORN_HTTP1)
