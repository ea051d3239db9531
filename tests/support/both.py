"""A pytest plugin: tests of behaviour run on both implementations, in one process.

Theory of operation
===================

`import tlctx` chooses an implementation once, so one process needs two copies of the package. The first is the one that
is imported as usual: the C accelerator's, where that was built. The second is imported with TLCTX_PURE_PYTHON=1.

    tests/unit/test_x.py  -->  tests/unit/test_x.py::c        a module, and
                               tests/unit/test_x.py::python   the same module, imported again

1.  *A file of `BOTH` is collected as one module for each implementation.* Module-scoped fixtures are thus separate, and
    every id says which implementation failed.

2.  *A copy is a set of entries in `sys.modules`*: those of tlctx, of `support`, which imports it, and of the test
    modules themselves. While a module of the second copy is collected, and while one of its tests is set up, runs and
    is torn down, the entries of the second copy stand in the place of the first one's. So an import inside a function
    finds the right copy too. TLCTX_PURE_PYTHON is set meanwhile, for the programs that a test starts.

3.  *Nothing else changes.* Other tests see the first copy. Where there is no second implementation there is one copy,
    and nothing is swapped. `--implementation=c` or `python` collects one of both.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import tlctx
from tlctx._core._py import local as _py_local

if TYPE_CHECKING:
    from collections.abc import Iterator

BOTH = (
    "unit/test_*.py",
    "integrations/test_asgi*.py",
    "integrations/celery/test_calls.py",
    "integrations/celery/test_install.py",
    "integrations/celery/test_scopes.py",
    "integrations/test_file_wrappers.py",
    "integrations/test_flask*.py",
    "integrations/test_gevent*.py",
    "integrations/test_event_loops.py",
    "integrations/test_greenlets.py",
    "integrations/test_live_*.py",
    "integrations/test_routes.py",
    "integrations/test_signals.py",
    "integrations/test_sqlalchemy.py",
)
"""The files that run on both implementations."""
TESTS = Path(__file__).resolve().parent.parent
VARIABLE = "TLCTX_PURE_PYTHON"
SHARED = {"support.both"}
"""What both copies use."""
SWAPPED = {"tlctx", "support", *(pattern.partition("/")[0] for pattern in BOTH)}

try:
    from tlctx._core import _accelerator
except ImportError:
    required = os.environ.get("CI") == "true" and os.environ.get(VARIABLE, "") in ("", "0")
    if required and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise  # or the tests would run on one implementation only, and look as if on both
    _accelerator = None  # type: ignore[assignment]

IMPLEMENTATIONS: dict[str, Any] = {"python": _py_local.local}
"""`local` of every implementation that was built, by the name that `tlctx.IMPLEMENTATION` has for it."""
if _accelerator is not None:
    IMPLEMENTATIONS["c"] = _accelerator.local


def is_swapped(name: str) -> bool:
    """Whether the module of this name is one for each copy."""
    return name not in SHARED and name.removeprefix("tests.").partition(".")[0] in SWAPPED


class PurePythonCopy:
    """The second copy: its entries in `sys.modules`."""

    def __init__(self) -> None:
        self.modules: dict[str, ModuleType] = {}
        with self.active():
            importlib.import_module("tlctx")

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """A block in which `import tlctx` finds this copy."""
        first = take_modules()
        sys.modules.update(self.modules)
        os.environ[VARIABLE] = "1"
        try:
            yield
        finally:
            del os.environ[VARIABLE]
            self.modules = take_modules()
            sys.modules.update(first)


def take_modules() -> dict[str, ModuleType]:
    """Remove the entries of the copy that is active, and return them."""
    return {name: sys.modules.pop(name) for name in list(sys.modules) if is_swapped(name)}


COPIES: dict[str, Any] = {tlctx.IMPLEMENTATION: contextlib.nullcontext}
"""For each implementation to test, what makes its copy the active one."""
if tlctx.IMPLEMENTATION == "c":
    os.environ.pop(VARIABLE, None)
    COPIES["python"] = PurePythonCopy().active


class FileOnBoth(pytest.File):
    """A file of `BOTH`."""

    def collect(self) -> Iterator[ImplementationModule]:
        chosen = self.config.getoption("implementation")
        for name in COPIES:
            if chosen in (name, "both"):
                node_id = f"{self.nodeid}::{name}"
                yield ImplementationModule.from_parent(self, path=self.path, name=name, nodeid=node_id)


class ImplementationModule(pytest.Module):
    """The module in such a file, on one implementation, which it has as its name."""


def implementation_of(node: pytest.Item | pytest.Collector) -> str:
    """The implementation that the test is for: the first copy's where it is not for one of both."""
    module = node.getparent(ImplementationModule)
    return tlctx.IMPLEMENTATION if module is None else module.name


def active_for(node: pytest.Item | pytest.Collector) -> contextlib.AbstractContextManager[None]:
    """A block in which the copy that the test or the module is for is the active one."""
    return COPIES[implementation_of(node)]()  # type: ignore[no-any-return]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--implementation",
        choices=["both", "c", "python"],
        default="both",
        help="which implementation the tests of behaviour run on",
    )


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if any(module_path.match(f"{TESTS}/{pattern}") for pattern in BOTH):
        return FileOnBoth.from_parent(parent, path=module_path)
    return None


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[None]:
    with active_for(collector):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    with active_for(item):
        return (yield)
