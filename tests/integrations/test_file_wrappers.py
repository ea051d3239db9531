"""Files: the file wrappers of gunicorn and waitress come back as they are, and the scope ends with them."""

from __future__ import annotations

from typing import Any

import pytest
import waitress.buffers
from gunicorn.http.wsgi import FileWrapper
from support.files import check_a_file_that_is_closed, check_a_file_that_is_dropped

pytestmark = pytest.mark.usefixtures("nothing_is_left")

FILE_WRAPPERS: dict[str, Any] = {
    "gunicorn": FileWrapper,
    "waitress": waitress.buffers.ReadOnlyFileBasedBuffer,
}


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_servers_file_wrapper_comes_back_as_it_is_and_its_end_ends_the_scope(server: str) -> None:
    check_a_file_that_is_closed(FILE_WRAPPERS[server])


@pytest.mark.parametrize("server", FILE_WRAPPERS)
def test_a_dropped_file_wrapper_goes_at_once_and_ends_the_scope(server: str, caplog: pytest.LogCaptureFixture) -> None:
    check_a_file_that_is_dropped(FILE_WRAPPERS[server], caplog)
