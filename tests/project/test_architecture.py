"""The architecture: what may import what, what is public, how long a module is, and what lies where."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from pathlib import Path

import pytest
from support.checkout import tracked_files
from support.helpers import run_program

import tlctx
import tlctx._core

ROOT = Path(tlctx.__file__).parent
CORE = ["errors", "threads", "flows", "places", "namespace", "attached", "observers", "teardown", "labels",
        "_py.attributes", "_py.local", "_py.ending", "_py.block", "_py.scope", "_py.body", "_py.bound", "_py.attached",
        "_py.detached", "_py.copy", "implementation", "propagation", "reports", "unleft", "scope", "stacks", "copying",
        "early", "annotations", "methods", "missing", "fields", "context", "making", "per_request"]  # fmt: skip
"""The modules of `_core`, each of which may import those before it."""
STANDARD_LIBRARY = sys.stdlib_module_names | {"annotationlib"}  # which is new in Python 3.14
MIDDLEWARE = ("wsgi.py", "_bodies.py", "_frameworks.py", "_routes.py")
MODULES = sorted(path.relative_to(ROOT.parent) for path in ROOT.rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    """The modules that run when `path` is imported: those for type checkers only are left out."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                visit(other)
            return
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            known = {f"{node.module}.{name.name}" for name in node.names if is_module(f"{node.module}.{name.name}")}
            found.update(known or {str(node.module)})
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text()))
    return found


def is_module(name: str) -> bool:
    path = ROOT.parent / Path(*name.split("."))
    return path.with_suffix(".py").exists() or (path / "__init__.py").exists()


def test_the_core_imports_the_standard_library_and_itself_in_one_direction() -> None:
    files = {path.relative_to(ROOT / "_core").with_suffix("") for path in (ROOT / "_core").rglob("*.py")}
    assert {".".join(file.parts) for file in files if file.name != "__init__"} == set(CORE)
    for number, module in enumerate(CORE):
        earlier = {f"tlctx._core.{name}" for name in CORE[:number]}
        path = (ROOT / "_core" / Path(*module.split("."))).with_suffix(".py")
        for name in imports_of(path) - {"tlctx._core._accelerator"}:
            assert name in earlier or name.split(".")[0] in STANDARD_LIBRARY, f"{module} imports {name}"
    for package in ("", "_py"):
        assert imports_of(ROOT / "_core" / package / "__init__.py") == set()


def test_the_core_lists_its_modules_in_their_order() -> None:
    listed = re.findall(r"^    (\w+)  ", tlctx._core.__doc__ or "", re.MULTILINE)
    modules = [module for module in CORE if not module.startswith("_py.")]
    assert listed == modules


def test_the_middleware_imports_the_core_and_the_standard_library_only() -> None:
    for path in MIDDLEWARE:
        for name in imports_of(ROOT / path):
            own = name.startswith("tlctx._core.") or name in ("tlctx._bodies", "tlctx._core")
            assert own or name.split(".")[0] in sys.stdlib_module_names, f"{path} imports {name}"


def test_what_integrations_stand_on_imports_the_core_only() -> None:
    own = {name for name in imports_of(ROOT / "lowlevel.py") if name.split(".")[0] == "tlctx"}
    assert own
    assert all(name.startswith("tlctx._core.") for name in own)


def test_integrations_import_the_public_names_and_never_each_other() -> None:
    below = {"__init__.py", "_core", "lowlevel.py", *MIDDLEWARE}
    below.add("__main__.py")  # the command line, which is above all
    integrations = [path for path in MODULES if path.parts[1] not in below]
    assert integrations
    for path in integrations:
        own = {name for name in imports_of(ROOT.parent / path) if name.split(".")[0] == "tlctx"}
        own -= {name for name in own if name.split(".")[1:2] == [path.with_suffix("").parts[1]]}  # its own package
        assert own <= {"tlctx", "tlctx.lowlevel", "tlctx._routes"}, f"{path} imports {own}"


def test_importing_tlctx_imports_no_framework_and_no_event_loop() -> None:
    program = "import sys, tlctx; print(sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(ast.literal_eval(run_program(program)))
    assert not loaded & {"flask", "werkzeug", "gevent", "greenlet", "sqlalchemy", "gunicorn", "asgiref", "asyncio"}
    assert not loaded & {"anyio", "django", "multiprocessing", "trio"}
    assert "tlctx" in loaded


def test_the_public_names_are_these_and_each_is_there_and_explained() -> None:
    assert sorted(tlctx.__all__) == [
        "ContextMiddleware", "Counters", "IMPLEMENTATION", "OutsideRequestError", "RequestContext", "RequestEndedError",
        "Scope", "counters", "ctx", "local", "per_request",
    ]  # fmt: skip
    for name in tlctx.__all__:
        assert name == "IMPLEMENTATION" or getattr(tlctx, name).__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_is_short_says_what_it_is_and_lists_what_it_offers(path: Path) -> None:
    source = (ROOT.parent / path).read_text()
    assert len(source.splitlines()) <= 300
    name = ".".join(path.with_suffix("").parts).removesuffix(".__init__")
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("tlctx"):
            raise
        pytest.skip(f"needs the package {error.name}")
    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), f"{name}.__all__ names {public}, which is not there"


@pytest.mark.parametrize("path", sorted((ROOT / "_core/_c").glob("*.[ch]")), ids=lambda path: path.name)
def test_a_file_of_the_accelerator_is_short_and_says_what_it_is(path: Path) -> None:
    source = path.read_text()
    assert len(source.splitlines()) <= 300
    assert source.startswith("/* ")


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=str)
def test_functions_are_short(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT.parent / path).read_text())):
        if isinstance(node, ast.FunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= 35, f"{node.name} in {path} has {length} lines"


def test_the_checkout_has_what_the_layout_lists_and_nothing_else() -> None:
    top = {name.split("/")[0] for name in tracked_files()}
    assert top <= {
        "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore", ".ci", "tlctx", "examples", "tests",
        "CONTRIBUTING.md", "SECURITY.md", "RELEASING.md", "MANIFEST.in", "noxfile.py", "mkdocs.yml", "docs", ".github",
        ".pre-commit-config.yaml",
    }  # fmt: skip


def test_the_package_has_what_the_layout_lists_and_nothing_else() -> None:
    allowed = {
        "__init__.py", "py.typed", "_build.py", "_core", "_bodies.py", "_frameworks.py", "_routes.py", "wsgi.py",
        "flask", "threads", "logs.py", "headers",
        "celery.py", "gunicorn", "pytest_plugin", "inspector", "lowlevel.py", "asgi.py", "metrics",
        "leftovers", "sqlalchemy.py", "django.py", "__main__.py", "_top",
    }  # fmt: skip
    assert {path.name for path in ROOT.iterdir()} - {"__pycache__"} <= allowed
