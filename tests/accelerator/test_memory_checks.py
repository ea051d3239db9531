"""The memory checks in short, and that each finds the fault that it looks for."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from accelerator.leak_workloads_elsewhere import WORKLOADS
from accelerator.memory_checks import CheckError, compile_sanitized, find_tests, run_sanitized, runtime, sanitize
from support.growth import growth_of
from support.helpers import missing

import tlctx

REPETITIONS = 50
TESTS = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _compiled_and_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    if tlctx.IMPLEMENTATION != "c":
        pytest.skip("needs the C accelerator")
    monkeypatch.setattr(logging.getLogger("tlctx"), "disabled", True)


@pytest.fixture
def _sanitizers() -> None:
    try:
        runtime()
    except CheckError as error:
        missing(f"the sanitizers: {error}")


@pytest.mark.parametrize("name", WORKLOADS)
def test_repeated_work_leaves_nothing_behind(name: str) -> None:
    growth = growth_of(name, WORKLOADS[name], REPETITIONS)
    assert not growth.leaks, str(growth)


@pytest.mark.parametrize("name", ["test_local*", "test_scope*", "test_context*", "test_wsgi*"])
def test_the_tests_to_repeat_are_found(name: str) -> None:
    assert find_tests(name)


@pytest.mark.slow
def test_a_lost_object_and_a_lost_reference_are_found() -> None:
    lost: list[Any] = []
    assert growth_of("objects", lambda: lost.append(object()), REPETITIONS).leaks
    growth = growth_of("references", lambda: lost.append(tlctx.local), REPETITIONS)
    assert growth.leaks
    assert "references to local" in str(growth)


REPEAT = "import sys, accelerator.memory_checks as m; print(*m.look_for_leaks_in_tests(sys.argv[1:]), sep='\\n')"


def repeated(*paths: str) -> str:
    """What the check finds in the tests of these files, in a process of its own."""
    command = [sys.executable, "-W", "error", "-c", REPEAT, "-q", *paths]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    found = subprocess.run(
        command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=500, check=True
    )
    return found.stdout.partition(" passed in ")[2]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_unit_tests_that_are_repeated_leave_nothing_behind() -> None:
    assert "blocks" not in repeated(*find_tests("test_scope*", "test_binding*"))


@pytest.mark.slow
def test_a_unit_test_that_leaves_an_object_each_time_is_found(tmp_path: Path) -> None:
    path = tmp_path / "test_leaking.py"
    path.write_text("LOST = []\n\n\ndef test_leaking():\n    LOST.append(object())\n")
    assert "+1.00 blocks" in repeated(str(path))


@pytest.mark.slow
@pytest.mark.usefixtures("_sanitizers")
@pytest.mark.timeout(600)
def test_the_sanitizers_find_nothing() -> None:
    assert " passed" in sanitize(find_tests("test_local*", "test_scope*", "test_binding*"))


FREED = """
    #include <Python.h>

    static PyObject *
    use_after_free(PyObject *self, PyObject *args)
    {
        char *volatile text = malloc(10);
        text[0] = 'x';
        free(text);
        return PyLong_FromLong(*(volatile char *)(text + 0));
    }

    static PyMethodDef methods[] = {{"use_after_free", use_after_free, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};
    static struct PyModuleDef module = {
        PyModuleDef_HEAD_INIT, "wrong", NULL, -1, methods, NULL, NULL, NULL, NULL};

    PyMODINIT_FUNC
    PyInit_wrong(void)
    {
        return PyModule_Create(&module);
    }
"""


@pytest.mark.usefixtures("_sanitizers")
def test_use_of_freed_memory_is_found(tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text(FREED)
    compile_sanitized(source, tmp_path / "wrong.so")
    found = run_sanitized(["-c", "import wrong; wrong.use_after_free()"], tmp_path)
    assert found.returncode != 0
    assert "heap-use-after-free" in found.stderr
