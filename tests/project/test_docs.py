"""The documentation is true: its examples run, its links lead somewhere, and the API reference is complete."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.helpers import PATIENCE, missing, run_program

CHECKOUT = Path(__file__).parent.parent.parent
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.glob("*.md"))]
REFERENCE = DOCS / "reference.md"

pytestmark = pytest.mark.docs

NEEDS = re.compile(r"<!-- needs: (.+) -->")
NOT_RUN = re.compile(r"<!-- not run: .+ -->")
FENCE = "```"

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))


def check_needs(text: str) -> None:
    """Skip the test where a package is missing that the page's examples import; in CI that is a failure."""
    for names in NEEDS.findall(text):
        for name in names.split(", "):
            if importlib.util.find_spec(name) is None:
                missing(f"the package {name}")


def program_of(text: str) -> str:
    """The page's examples as one program, each line under the number that it has on the page."""
    program: list[str] = []
    runs, before = False, ""
    for line in text.splitlines():
        if line.startswith(FENCE):
            runs = line == f"{FENCE}python" and not NOT_RUN.fullmatch(before)
            program.append("")
        else:
            program.append(line if runs else "")
        before = line
    return "\n".join(program)


def run_tests(program: str, directory: Path) -> None:
    """Run the tests that the examples define."""
    (directory / "test_examples.py").write_text(program)
    (directory / "pytest.ini").write_text("[pytest]\n")  # that of a checkout around it would keep plugins from loading
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--rootdir=.", "test_examples.py"],
        cwd=directory, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


@each_page
def test_the_examples_of_a_page_run_in_their_order(page: Path, tmp_path: Path) -> None:
    text = page.read_text()
    program = program_of(text)
    if not program.strip():
        return
    check_needs(text)
    if re.search(r"^def test_", program, re.MULTILINE):
        run_tests(program, tmp_path)
    else:
        run_program(program, PYTHONWARNINGS="ignore:pkg_resources is deprecated")  # Pyramid imports it


@each_page
def test_an_example_is_run_or_says_why_not(page: Path) -> None:
    lines = page.read_text().splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.lstrip().startswith(f"{FENCE}py"):
            assert line == f"{FENCE}python", f"nothing would run {line!r}"
        if before.startswith("<!-- not run"):
            assert NOT_RUN.fullmatch(before), f"{before!r} gives no reason"
            assert line == f"{FENCE}python"


def described_in(reference: str) -> set[str]:
    """The objects whose docstrings the page shows, those in a comment left out."""
    return set(re.findall(r"^::: (\S+)$", re.sub(r"<!--.*?-->", "", reference, flags=re.DOTALL), re.MULTILINE))


def anchors_of(page: Path) -> set[str]:
    """The anchors of the headings, as MkDocs makes them, and those of the objects in the API reference."""
    text = re.sub(rf"^{FENCE}.*?^{FENCE}$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    slugs = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}
    return slugs | described_in(text)


@each_page
def test_every_link_inside_the_checkout_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file), target


def test_the_navigation_names_every_page_and_no_other() -> None:
    named = re.findall(r": (\S+\.md)$", (CHECKOUT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(page.name for page in DOCS.glob("*.md"))


MODULES = [
    "tlctx", "tlctx.asgi", "tlctx.celery", "tlctx.django", "tlctx.flask", "tlctx.gunicorn", "tlctx.headers",
    "tlctx.logs", "tlctx.lowlevel", "tlctx.metrics", "tlctx.pytest_plugin", "tlctx.threads", "tlctx.threads.gevent",
    "tlctx.sqlalchemy", "tlctx.inspector",
]  # fmt: skip


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_in_the_api_reference(module: str) -> None:
    check_needs("<!-- needs: celery, django, flask -->")
    described = described_in(REFERENCE.read_text())
    public = importlib.import_module(module).__all__
    assert not [name for name in public if not {f"{module}.{name}", f"tlctx.{name}"} & described]


def test_the_api_reference_says_how_to_make_a_scope_and_to_run_code_in_it() -> None:
    # Both are in a base class, of which the page shows no method.
    base = importlib.import_module("tlctx._core._py.scope").ScopeBase
    described = " ".join(importlib.import_module("tlctx").Scope.__doc__.split())
    parameters = re.search(r"`Scope\((.*?)\)`", described)
    assert parameters
    assert re.findall(r"(?:^|, )(\w+)", parameters[1]) == list(inspect.signature(base).parameters)
    assert "`run(function, /, *args, **kwargs)`" in described


ONE_REQUEST = """
    import json, sys
    from tlctx import ContextMiddleware, ctx

    def app(environ, start_response):
        if environ["opens"]:
            sys.setprofile(None)
            ctx.callback(int)
            sys.setprofile(record)
        ctx.user
        return (chunk for chunk in [b"chunk"])

    def record(frame, event, argument):
        if event == "call":
            calls.append((frame.f_code.co_filename, frame.f_code.co_qualname))

    serving = ContextMiddleware(app, ctx)

    def serve(opens):
        body = serving({"opens": opens}, None)
        next(body)
        body.close()

    type(ctx).user = "stranger"
    serve(opens=False)  # the first one also registers the thread
    calls = []
    sys.setprofile(record)
    serve(opens=sys.argv[1] == "opens")
    sys.setprofile(None)
    print(json.dumps(calls))
"""
"""Prints the file and the name of each function that a streamed request calls."""


def calls_of_one_request(*arguments: str) -> list[tuple[str, str]]:
    printed = run_program(ONE_REQUEST, *arguments, TLCTX_PURE_PYTHON="1")
    calls = [(Path(file), name) for file, name in json.loads(printed)]
    return [(str(file.relative_to(CHECKOUT)), name) for file, name in calls if file.is_relative_to(CHECKOUT / "tlctx")]


def files_to_follow(pattern: str) -> list[tuple[str, list[str]]]:
    """The files that a table of the page on internals lists, in order, each with its functions."""
    rows = re.findall(rf"^\| {pattern}\| `(\S+)` \| (.+?) \|", (DOCS / "internals.md").read_text(), re.MULTILINE)
    return [(file, re.findall(r"`(\S+)`", functions)) for file, functions in rows]


def test_one_streamed_request_is_followed_through_the_files_that_the_internals_page_lists() -> None:
    calls = [(file, name) for file, name in calls_of_one_request("nothing") if not name.endswith("__del__")]
    changes = [
        file for before, (file, _) in zip(["", *(file for file, _ in calls)], calls, strict=False) if file != before
    ]
    listed = files_to_follow(r"\d+ ")
    assert changes == [file for file, _ in listed]
    assert len(listed) == 10
    check_order(listed, calls)


def check_order(listed: list[tuple[str, list[str]]], calls: list[tuple[str, str]]) -> None:
    called = iter(calls)
    for file, functions in listed:
        for function in functions:
            assert (file, function) in called, f"{function} of {file} is not called, or not in this place"


def test_a_teardown_is_followed_through_the_files_that_the_internals_page_lists() -> None:
    listed = files_to_follow("")
    assert len(listed) == 4
    check_order(listed, calls_of_one_request("opens"))


def test_the_site_builds_without_a_warning_and_fetches_nothing(tmp_path: Path) -> None:
    check_needs("<!-- needs: mkdocs, material, mkdocstrings -->")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=CHECKOUT, capture_output=True, text=True, timeout=2 * PATIENCE, check=False,
    )  # fmt: skip
    assert build.returncode == 0, build.stdout + build.stderr
    # It is the same with and without the C accelerator, of which the attributes would be shown as they are there.
    assert "_accelerator" not in (tmp_path / "reference" / "index.html").read_text()
    for file in tmp_path.rglob("*.html"):
        fetched = re.findall(r"<(?:script|link|img)[^>]* (?:src|href)=\"?(https?:[^\s\">]+)", file.read_text())
        assert not fetched, f"{file.name} fetches {fetched}"


def test_the_pages_give_the_numbers_of_servers_faults_and_bodies_that_there_are() -> None:
    servers = importlib.import_module("servers.server_table").SERVERS
    faults = importlib.import_module("servers.fault_table").FAULTS
    kinds = importlib.import_module("servers.bodies").KINDS
    reason = importlib.import_module("servers.visit").reason
    pairs = len(servers) * len(faults)
    absent = sum(bool(reason(fault.absent, server)) for server in servers for fault in faults)
    reliability = " ".join((DOCS / "reliability.md").read_text().split())
    for phrase in (
        f"Each of {len(servers)} server configurations", f"each of {len(faults)} faults", f"the {pairs:,} pairs",
        f"{absent} can't occur", f"The other {pairs - absent:,} pass", f"{len(kinds)} kinds of response bodies",
    ):  # fmt: skip
        assert phrase in reliability
    readme = " ".join((CHECKOUT / "README.md").read_text().split())
    assert (
        f"{len(servers)} server configurations runs as a real process and meets each of {len(faults)} faults" in readme
    )


def test_nothing_waits_to_be_filled_in() -> None:
    assert not [page.name for page in PAGES if "_TO_FILL" in page.read_text()]
