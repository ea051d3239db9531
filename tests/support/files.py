"""What holds for the file wrapper of any server whose wrapper takes attributes."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

from support.helpers import in_thread
from support.requests import Request, nothing_is_current, send_file

if TYPE_CHECKING:
    import pytest


def check_a_file_that_is_closed(wrapper: Any) -> None:
    """It comes back as it is, and its end ends the scope."""
    request = Request(send_file, **{"wsgi.file_wrapper": wrapper})
    body = request()
    assert type(body) is wrapper
    assert nothing_is_current()
    assert (request.ended, request.environ["opened"].closed) == ([], False)
    in_thread(body.close)
    assert (request.ended, request.environ["opened"].closed) == ([(None, "ann")], True)
    body.close()
    assert len(request.ended) == 1


def check_a_file_that_is_dropped(wrapper: Any, caplog: pytest.LogCaptureFixture) -> None:
    """It goes at once, without the collector, and ends the scope."""
    request = Request(send_file, **{"wsgi.file_wrapper": wrapper})
    gc.disable()
    try:
        request()
        del request.body
        assert request.ended == [(None, "ann")]
    finally:
        gc.enable()
    assert "(GET /path): the server dropped its body without close()" in caplog.text
