"""The project's tasks: `nox -l` lists them, `nox -s NAME` runs one, `nox -s NAME -- ...` hands it arguments.

Environments are kept in `.nox`. `nox -R -s NAME` runs a session in the one that it has, without installing again.
"""

import os
import shlex
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.sessions = ["quick", "lint"]
nox.options.reuse_venv = "yes"
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"

PYTHONS = ["3.11", "3.12", "3.13", "3.14", "3.15"]
NEWER = PYTHONS[3:]
"""Those that few machines have yet. The session `newer` gets them from a program, if there is one."""
NEWER_DEBUG = "3.15d"
"""The debug build that the program has of the last one."""
DEBUG = "python3.11d"
"""The debug build that Debian has, in `python3.11-dbg`."""
PURE = {"TLCTX_PURE_PYTHON": "1", "TLCTX_REQUIRE_C": ""}
NOTEBOOK = "servers and not control"
"""Which tests of the notebook need more than the default run: those on PostgreSQL, and many users at once."""
TWO_AT_ONCE = ("-p", "xdist", "-n", "2", "--dist", "loadfile")
"""Runs two test files at a time."""
MORE_SERVERS = "hypercorn or tornado or twisted or uvicorn or bjoern or mod_wsgi or interpreters"
WARNINGS = "-Wall -Wextra -Wno-unused-parameter -Wno-cast-function-type -Werror"


def find_pythons_of_pyenv() -> None:
    """Put pyenv's interpreters on the path: its shims fail for a Python that `pyenv global` does not name."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    for python in PYTHONS:
        found = sorted(versions.glob(f"{python}.*/bin"), key=lambda path: int(path.parent.name.split(".")[2]))
        if found:
            os.environ["PATH"] = f"{found[-1]}{os.pathsep}{os.environ['PATH']}"


find_pythons_of_pyenv()


def group(name: str) -> tuple[str, ...]:
    """Return the requirements of a dependency group of pyproject.toml."""
    return nox.project.dependency_groups(nox.project.load_toml("pyproject.toml"), name)


def pytest(session: nox.Session, *arguments: str, env: dict[str, str] | None = None) -> None:
    """Run pytest with `arguments`, then with those that nox was given."""
    session.run("python", "-m", "pytest", *arguments, *session.posargs, env=env or {})


@nox.session
def quick(session: nox.Session) -> None:
    """Run the unit tests on both implementations: the first thing to do, and to do often."""
    session.install(*group("quick"))
    session.install("--no-build-isolation", "--no-deps", "-e", ".")  # seconds less than with isolation
    pytest(session, "-q", *TWO_AT_ONCE, "tests/unit", env={"CI": ""})  # skips what is missing, on CI's machines too


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """Run what the README's command runs, and the tests of frameworks other than Flask: all but the sessions below."""
    session.install("-e", ".[test,frameworks]")
    pytest(session)


@nox.session
def packaging(session: nox.Session) -> None:
    """Build wheels and source distributions, install them, and run the unit tests from them."""
    session.install("-e", ".[test]")
    pytest(session, "-m", "packaging", "tests/project")


@nox.session(venv_backend="none")
@nox.parametrize("version", [*NEWER, NEWER_DEBUG], ids=[*NEWER, NEWER_DEBUG])
def newer(session: nox.Session, version: str) -> None:
    """Run what may differ between the Pythons, under one that the program in NEWER_PYTHONS_PROGRAM has.

    `PROGRAM 3.14 COMMAND...` has to run a command in a copy of this folder, in a virtual environment of that Python.
    Where nox finds such a Python itself, `tests-3.14` and the other sessions do more.
    """
    program = os.environ.get("NEWER_PYTHONS_PROGRAM")
    if not program:
        session.skip("NEWER_PYTHONS_PROGRAM names no program that has it")
    commands = [
        "python -m pip install -q -e .[test,frameworks]",
        "python -m pytest -q tests/unit tests/integrations tests/accelerator tests/differential",
        "python -m pytest -q tests/servers/test_faults.py -k 'gunicorn-gthread and (raise or close)'",
        "python -m pytest -q -m 'slow and not servers' tests/accelerator/test_allocations.py",
        f"python -m pytest -q -m '{NOTEBOOK}' tests/integrations/notebook",
    ]
    if version == NEWER[-1]:  # once is enough
        commands.append("PYTHON_THREAD_INHERIT_CONTEXT=1 python -m pytest -q tests/unit tests/integrations")
    if version == NEWER_DEBUG:  # most packages in C are not there for one
        quick = shlex.join(group("quick"))
        commands = [f"python -m pip install -q -e . {quick}", "python -m pytest -q tests/unit"]
    session.run(program, version, "sh", "-ec", "; ".join(commands), external=True, env={"CI": ""})


@nox.session
def oldest_flask(session: nox.Session) -> None:
    """Run the tests of Flask on the oldest Flask that is allowed, with the werkzeug of its time."""
    session.install(*group("quick"), *group("oldest_flask"))
    session.install("--no-build-isolation", "--no-deps", "-e", ".")
    tests = sorted(map(str, Path("tests/integrations").glob("test_flask*.py")))
    its_debugger = "ignore:Deprecated in 3.13"
    pytest(session, "-q", "-W", its_debugger, *tests, env={"CI": ""})


@nox.session(python=PYTHONS)
def pure(session: nox.Session) -> None:
    """Run the same on an installation without the C accelerator; on later Pythons, what may differ between them."""
    session.install(".[test]", env=PURE)
    # `python -m pytest` would import the checkout.
    if session.python == PYTHONS[0]:
        session.run("pytest", *session.posargs, env=PURE)
        session.run("pytest", "-m", NOTEBOOK, "tests/integrations/notebook", *session.posargs, env=PURE)
    else:
        session.run("pytest", "tests/unit", "tests/servers", *session.posargs, env=PURE)


@nox.session(python=PYTHONS)
def servers(session: nox.Session) -> None:
    """Run every fault on the usual servers, the notebook on PostgreSQL, Celery on Redis, and the long runs in short.

    On the first Python alone: the naive controls, the page of the live view in Chromium, and many requests to Flask
    under gunicorn, with the accelerator.
    """
    session.install("-e", ".[test,servers]", "uwsgi")
    if session.python == PYTHONS[0]:
        pytest(session, "-m", "servers", "-k", f"not ({MORE_SERVERS} or (many_pairs and python))")
    else:
        pytest(session, "-m", "servers and not control", "-k", f"not ({MORE_SERVERS} or many_pairs or live_view)")


@nox.session
def more_servers(session: nox.Session) -> None:
    """Run every fault on the servers of event loops, of ASGI too, and in Apache; and the naive controls of ASGI.

    `-- -m servers` adds the other controls.
    """
    session.install("-e", ".[test,frameworks]", *group("more_servers"))
    # Hypercorn's worker of trio ends, now and then, when an application raises: two of its tasks send at once.
    pytest(session, "-m", "servers and not control", "-k", f"({MORE_SERVERS}) and not asgi-trio")
    pytest(session, "-m", "control", "-k", "not (uvloop or trio)", "tests/servers/test_asgi_faults.py")


@nox.session(python=PYTHONS)
def c(session: nox.Session) -> None:
    """Check the C accelerator: warnings, leaks, sanitizers, and that it does what the Python code does."""
    session.install("-e", ".[test]")
    strict = {"CFLAGS": WARNINGS, "TLCTX_REQUIRE_C": "1"}
    session.run("python", "-m", "build", "--wheel", f"--outdir={session.create_tmp()}", env=strict)
    pytest(session, "-m", "not servers and not benchmarks", "tests/accelerator", "tests/differential")


@nox.session
def signals(session: nox.Session) -> None:
    """Raise an exception at every point of tlctx's code, and by real timers for a minute, on both implementations."""
    session.install("-e", ".[test]")
    pytest(session, "-m", "not servers and not benchmarks", "-s", "tests/integrations/test_signals.py")


@nox.session
def memory(session: nox.Session) -> None:
    """Repeat each test that the C accelerator passes, and look for what it leaves: minutes."""
    session.install("-e", ".[test]")
    session.run("python", "tests/accelerator/memory_checks.py", *session.posargs)


@nox.session(python=DEBUG)
def debug(session: nox.Session) -> None:
    """Run the tests of both implementations on a debug build of the interpreter, which checks its callers."""
    session.install(*group("quick"), "hypothesis>=6.100")
    session.install("--no-build-isolation", "--no-deps", "-e", ".", env={"TLCTX_REQUIRE_C": "1"})
    missing = ["--ignore=tests/accelerator/test_memory_checks.py", "-k", "not gevent"]  # they need packages in C
    pytest(session, "-q", "tests/unit", "tests/accelerator", "tests/differential", *missing, env={"CI": ""})


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and types: ruff, mypy, and pyright on code as users write it; and the workflows."""
    session.install("-e", ".[dev]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("basedpyright")
    session.run("pre-commit", "validate-config")
    pytest(session, "-q", "-m", "lint", "tests/project")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation, its warnings as errors, and run its examples."""
    session.install("-e", ".[test,docs]")
    quiet = {"NO_MKDOCS_2_WARNING": "1"}
    session.run("mkdocs", "build", "--strict", f"--site-dir={session.create_tmp()}", env=quiet)
    pytest(session, "-q", "-m", "", "tests/project/test_docs.py", "tests/project/test_readme.py")


MEASURED_SERVERS = [
    "tests/integrations/pytest_plugin", "tests/integrations/test_gunicorn_hooks.py",
    "tests/integrations/test_inspector_redis.py", "tests/integrations/top", "tests/servers/test_live_view_processes.py",
]  # fmt: skip


@nox.session
def coverage(session: nox.Session) -> None:
    """Measure which branches the unit tests and the integrations' run, on both implementations together."""
    session.install("-e", ".[test,frameworks]", *group("coverage"))
    session.run("coverage", "erase")
    untraced = "not uses_the_local_when_its_thread_ends_leaves_nothing"  # the tracer keeps something of each thread
    measured = ["-q", "tests/unit", "tests/integrations", "-k", untraced]
    session.run("coverage", "run", "-m", "pytest", *measured, *session.posargs)
    # What only these run; processes that they start are measured too.
    here = {
        "COVERAGE_PROCESS_START": str(Path("pyproject.toml").resolve()),
        "COVERAGE_FILE": str(Path(".coverage").resolve()),
    }
    session.run("coverage", "run", "-m", "pytest", "-q", "-m", "servers", *MEASURED_SERVERS, env=here)
    session.run("coverage", "combine")
    session.run("coverage", "report")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Check that the benchmarks work; with arguments, measure: `-- --help` says what."""
    session.install("-e", ".[test,benchmarks]")
    if session.posargs:
        session.run("python", "tests/benchmarks/compare.py", *session.posargs)
    else:
        pytest(session, "-m", "benchmarks", "tests/benchmarks")


@nox.session
def mutation(session: nox.Session) -> None:
    """Change the code in one place at a time and list the changes that no test notices: a quarter of an hour."""
    session.install("-e", ".[mutation]")
    session.run("python", "tests/mutation/run.py", *session.posargs)
