"""The guard that fails a test which leaves a scope open."""

from __future__ import annotations

import sys
from functools import partial

import pytest
from support.pytest_runs import Run

only_at_length = partial(pytest.param, marks=pytest.mark.servers)
"""For more of the same: each run of pytest takes a tenth of a second."""
LEAVES = """
    def leave():
        ctx.scope(user="ann").__enter__()
"""


def test_a_test_that_leaves_a_scope_open_fails_and_the_message_names_it_and_the_next_is_undisturbed(run: Run) -> None:
    result = run(
        LEAVES
        + """
    @pytest.mark.usefixtures("tlctx_guard")
    def test_leaves():
        leave()

    @pytest.mark.usefixtures("tlctx_guard")
    def test_leaves_two():
        leave()
        global kept
        (kept := ctx.scope()).__enter__()

    @pytest.mark.usefixtures("tlctx_guard")
    def test_next():
        assert Scope.current(ctx) is None
    """
    )
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaves*",
            "the test left a scope open: scope #*, begun at test_shop.py:4 on thread 'MainThread'",
            "*ERROR at teardown of test_leaves_two*",
            "the test left 2 scopes open:",
            "  scope #*, entered at test_shop.py:4 on thread 'MainThread' and never left",
            "  scope #*, begun at test_shop.py:14 on thread 'MainThread'",
        ]
    )


@pytest.mark.parametrize(
    ("option", "marker", "errors"),
    [("fixtures", "", 0), ("always", "", 1), ("never", "", 0), ("fixtures", "always", 1), ("always", "never", 0)],
)
def test_which_tests_it_watches_is_for_the_ini_file_or_a_marker_to_say(
    run: Run, option: str, marker: str, errors: int
) -> None:
    result = run(
        LEAVES
        + f"""
    {f'pytestmark = pytest.mark.tlctx_guard("{marker}")' if marker else ""}

    def test_leaves():
        leave()
    """,
        tlctx_guard=option,
    )
    result.assert_outcomes(passed=1, errors=errors)


@pytest.mark.parametrize(
    "fixture", ["tlctx_client", *map(only_at_length, ("tlctx_scope", "tlctx_override", "tlctx_open_scope"))]
)
def test_it_comes_with_each_fixture_unless_never(run: Run, fixture: str) -> None:
    tests = (
        LEAVES
        + f"""
    def test_leaves({fixture}):
        leave()

    @pytest.mark.tlctx_guard("never")
    def test_may_leave({fixture}):
        leave()
    """
    )
    result = run(tests)
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_leaves*", "the test left a scope open: *"])


def test_a_scope_that_a_request_closed_as_nobody_left_it_is_named_too(run: Run) -> None:
    result = run(
        LEAVES
        + """
    def test_leaves():
        with ctx.scope():
            leave()
    """,
        tlctx_guard="always",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*open: scope #*, entered at test_shop.py:4 on thread 'MainThread' and never left"])


def test_a_thread_that_keeps_a_scope_is_named(run: Run) -> None:
    result = run(
        """
        entered, done = threading.Event(), threading.Event()

        def keep():
            with ctx.scope():
                entered.set()
                done.wait(60)

        def keep_and_end():
            global kept
            kept = ctx.scope()
            kept.__enter__()

        def start(function):
            thread = threading.Thread(target=function, name=function.__name__)
            thread.start()
            return thread

        def test_keeps():
            start(keep)
            entered.wait(60)

        def test_ends():
            start(keep_and_end).join()

        def test_after():
            done.set()
            kept.close()
        """,
        tlctx_guard="always",
        tlctx_guard_wait="0",
    )
    result.assert_outcomes(passed=3, errors=2)
    result.stdout.fnmatch_lines(
        [
            "*open: scope #*, begun at test_shop.py:6 on thread 'keep'; thread 'keep', which still runs, had it last",
            "*open: scope #*, begun at test_shop.py:13 on thread 'keep_and_end'; the thread that had it last has ended",
        ]
    )


@pytest.mark.servers
def test_it_waits_for_a_server_whose_thread_is_about_to_end_the_request(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tlctx.pytest_plugin._guard import Guard

    wait = Guard._wait_for_other_threads

    def let_it_end_and_wait(guard: Guard) -> None:
        assert len(guard._open()) == 1
        sys.modules["test_shop"].go.set()
        wait(guard)

    monkeypatch.setattr(Guard, "_wait_for_other_threads", let_it_end_and_wait)
    run(
        """
        begun, go = threading.Event(), threading.Event()

        def serve():
            with ctx.scope():
                begun.set()
                go.wait(60)

        def test_answered():
            threading.Thread(target=serve).start()
            begun.wait(60)
        """,
        tlctx_guard="always",
        tlctx_guard_wait="60",
    ).assert_outcomes(passed=1)


@pytest.mark.servers
def test_what_other_fixtures_close_is_no_fault_nor_what_they_open_for_more_tests_than_one(run: Run) -> None:
    run(
        """
        @pytest.fixture(scope="module")
        def for_all():
            with ctx.scope(user="of the module"):
                yield

        @pytest.fixture
        def for_one():
            scope = ctx.scope(user="of the test")
            yield scope.__enter__
            scope.__exit__(None, None, None)

        def test_first(for_all, for_one, tlctx_guard):
            for_one()
            assert ctx.user == "of the test"

        def test_second(for_all):
            assert ctx.user == "of the module"
        """,
        tlctx_guard="always",
    ).assert_outcomes(passed=2)


@pytest.mark.parametrize("made", ["ContextMiddleware(app, ctx)", only_at_length("flask_app()")])
def test_a_body_that_any_client_read_to_its_end_is_closed_and_one_that_was_not_is_named(run: Run, made: str) -> None:
    result = run(
        f"""
        from flask import Flask
        from tlctx.flask import TLCtx
        from werkzeug.test import Client

        def flask_app():
            flask = Flask("shop")
            TLCtx(flask, ctx)
            flask.add_url_rule("/", view_func=lambda: (part for part in (ctx.user, "second")))
            return flask

        client, closed, kept = Client({made}), [], []

        def test_read():
            response = client.get("/")
            kept.append(response)
            assert "stranger" in response.text
            assert not closed

        def test_half_read():
            response = client.get("/")
            kept.append(response)
            assert next(response.iter_encoded())

        def test_dropped():
            assert next(client.get("/").iter_encoded())
        """,
        tlctx_guard="always",
    )
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_half_read*", "*open: request #* (GET /), begun at test_shop.py:*"]
    )


@pytest.mark.servers
def test_where_the_teardown_of_the_scope_fails_that_is_logged_and_the_message_is_the_same(run: Run) -> None:
    result = run(
        """
        def test_leaves():
            ctx.scope().__enter__()
            ctx.callback(int, "no number")

        def test_next():
            assert Scope.current(ctx) is None
        """,
        tlctx_guard="always",
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["the test left a scope open: *", "*its teardown failed*", "ValueError*no number*"])


@pytest.mark.servers
def test_where_the_teardown_fails_the_message_is_added_to_its_error(run: Run) -> None:
    result = run(
        LEAVES
        + """
    @pytest.fixture
    def broken():
        yield
        raise KeyError("broken")

    def test_leaves(broken):
        leave()
    """,
        tlctx_guard="always",
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*KeyError: 'broken'", "*the test left a scope open: *"])


@pytest.mark.servers
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tlctx_guard": "sometimes"}, "*tlctx_guard is 'sometimes': it has to be one of fixtures, always, never"),
        ({"tlctx_guard": "always", "tlctx_guard_wait": "long"}, "*tlctx_guard_wait has to be a number of seconds*"),
    ],
)
def test_an_option_that_says_nothing_is_an_error_at_once(run: Run, options: dict[str, str], message: str) -> None:
    result = run("def test_anything(): ...", **options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])


@pytest.mark.servers
@pytest.mark.parametrize("arguments", ["'sometimes'", "", "mode='always'"])
def test_a_marker_that_says_nothing_is_an_error(run: Run, arguments: str) -> None:
    result = run(f"@pytest.mark.tlctx_guard({arguments})\ndef test_anything(): ...")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_anything: write tlctx_guard('always'), ('fixtures'), or ('never')"])
