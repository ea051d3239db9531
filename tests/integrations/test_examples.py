"""The examples do what they say, run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.helpers import PATIENCE
from support.processes import EXAMPLES, free_port, get, gunicorn, running


def test_the_main_thread_prints_its_variables_and_the_other_an_empty_dict() -> None:
    program = [sys.executable, str(EXAMPLES / "thread_local.py")]
    output = subprocess.run(program, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    assert output == "{'var1': 'Var1', 'var2': 'Var2'}\n{}\n"


def test_the_plain_app_has_20_lines_of_code() -> None:
    lines = (EXAMPLES / "plain_wsgi.py").read_text().splitlines()
    assert len([line for line in lines if line.strip()]) <= 20


@pytest.mark.parametrize("server", ["its own", "gunicorn"])
def test_the_plain_app_greets_whoever_asks(server: str) -> None:
    port = free_port()
    own = running("plain_wsgi.py", str(port), port=port, cwd=EXAMPLES)
    with own if server == "its own" else gunicorn("plain_wsgi", cwd=EXAMPLES) as started:
        at = port if server == "its own" else started
        assert isinstance(at, int)
        for path, name in (("/ann", b"ann"), ("/", b"stranger"), ("/bob", b"bob")):
            status, headers, body = get(at, path)
            assert (status, body) == (200, b"Hello, " + name + b"!\n")
            assert headers["content-type"] == "text/plain; charset=utf-8"
