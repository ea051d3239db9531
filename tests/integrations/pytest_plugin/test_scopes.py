"""The fixtures that open a scope for a test."""

from __future__ import annotations

import pytest
from support.pytest_runs import Run


def test_the_scope_is_open_for_the_test_and_its_values_are_those_of_the_markers(run: Run) -> None:
    run(
        """
        pytestmark = pytest.mark.tlctx_scope(user="module", note="of the module")

        @pytest.mark.tlctx_scope(user="ann")
        def test_with_the_marker_alone():
            assert (ctx.user, ctx.note) == ("ann", "of the module")

        def test_with_the_fixture(tlctx_scope):
            assert ctx.user == "module"
            assert Scope.current(ctx) is tlctx_scope
            assert "test_with_the_fixture" in str(tlctx_scope)

        class TestOfUnittest(__import__("unittest").TestCase):
            def test_method(self):
                assert ctx.user == "module"
        """
    ).assert_outcomes(passed=3)


def test_each_test_has_a_new_scope_which_ends_with_it(run: Run) -> None:
    run(
        """
        seen = []

        @pytest.mark.parametrize("number", range(2))
        def test_anything(number, tlctx_scope):
            assert ctx.basket == ["the real one"]
            ctx.basket.append("more")
            seen.append(tlctx_scope)

        def test_no_scope_is_left():
            assert [scope.ended for scope in seen] == [True, True]
            with pytest.raises(OutsideRequestError):
                ctx.user
        """
    ).assert_outcomes(passed=3)


@pytest.mark.servers
def test_fixtures_of_the_test_run_in_the_scope_of_the_marker_and_those_of_the_module_do_not(run: Run) -> None:
    run(
        """
        @pytest.fixture(scope="module")
        def of_the_module():
            return Scope.current(ctx)

        @pytest.fixture
        def of_the_test():
            ctx.note = "assigned"
            yield
            assert ctx.note == "changed"

        @pytest.mark.tlctx_scope(user="ann")
        def test_order(of_the_test, of_the_module):
            assert of_the_module is None
            assert ctx.note == "assigned"
            ctx.note = "changed"
        """
    ).assert_outcomes(passed=1)


def test_a_scope_by_call_lies_inside_those_before_and_is_open_until_the_test_ends(run: Run) -> None:
    run(
        """
        closed = []

        def test_calls(tlctx_scope, tlctx_open_scope):
            first = tlctx_open_scope(user="ann")
            ctx.callback(closed.append, "first")
            assert ctx.user == "ann"
            second = tlctx_open_scope()
            ctx.callback(closed.append, "second")
            assert ctx.user == "stranger"
            assert not first.ended

        def test_after():
            assert closed == ["second", "first"]
        """
    ).assert_outcomes(passed=2)


@pytest.mark.servers
def test_values_that_the_context_does_not_take_are_an_error_and_leave_nothing(run: Run) -> None:
    result = run(
        """
        @pytest.mark.tlctx_scope(scope=1)
        def test_refused(): ...

        def test_after():
            assert Scope.current(ctx) is None
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*Ctx.scope is a method*"])


@pytest.mark.servers
def test_a_marker_whose_values_have_no_names_is_an_error_at_once(run: Run) -> None:
    result = run("@pytest.mark.tlctx_scope('ann')\ndef test_anything(): ...")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*test_anything: the marker tlctx_scope takes values by name*"])


def test_the_teardown_learns_whether_the_test_failed_and_its_error_is_one_of_the_test(run: Run) -> None:
    result = run(
        """
        learnt = []

        class Transaction:
            def __enter__(self): ...
            def __exit__(self, kind, error, traceback):
                learnt.append(kind)

        def test_fails(tlctx_scope):
            ctx.enter_context(Transaction())
            raise KeyError

        def test_passes(tlctx_scope):
            ctx.enter_context(Transaction())

        def test_whose_commit_fails(tlctx_scope):
            ctx.callback(int, "no number")

        def test_learnt():
            assert learnt == [KeyError, None]
            assert Scope.current(ctx) is None
        """
    )
    result.assert_outcomes(passed=3, failed=1, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_whose_commit_fails*", "*ValueError: invalid literal*"])


@pytest.mark.servers
def test_where_the_context_is_not_named_it_is_the_one_that_declares_nothing_and_an_error_says_so(run: Run) -> None:
    result = run(
        """
        import tlctx

        def test_default(tlctx_scope):
            assert Scope.current(tlctx.ctx) is tlctx_scope

        def test_other(tlctx_scope):
            ctx.user

        def test_after():
            ctx.user
        """,
        conftest="",
    )
    result.assert_outcomes(passed=1, failed=2)
    (told,) = [line for line in result.outlines if line.startswith("E ") and "is for another context" in line]
    assert "is for another context, AnyContext. Have the fixture tlctx_context, in conftest.py, return" in told
