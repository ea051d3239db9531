"""Values that every request of a test reads."""

from __future__ import annotations

import pytest
from support.pytest_runs import Run


def test_each_request_reads_the_value_whatever_is_assigned_and_the_next_test_does_not(run: Run) -> None:
    run(
        """
        def assigning(environ, start_response):
            ctx.user = "the application's"
            return app(environ, start_response)

        @pytest.fixture
        def tlctx_app():
            return ContextMiddleware(assigning, ctx, lambda environ: {"user": "the first value", "note": "x"})

        @pytest.mark.parametrize("time", range(2))
        def test_overridden(tlctx_client, tlctx_override, time):
            tlctx_override(user="ann", basket=["a fake"])
            assert tlctx_client.get("/").text == "ann has a fake"
            tlctx_override(user="bob")
            assert tlctx_client.get("/").text == "bob has a fake"

        def test_after(tlctx_client):
            assert tlctx_client.get("/").text == "the application's has the real one"
        """
    ).assert_outcomes(passed=3)


def test_it_holds_on_all_threads_and_in_scopes_that_are_open_and_for_every_way_to_read(run: Run) -> None:
    run(
        """
        from tlctx.threads import ThreadPoolExecutor

        def test_overridden(tlctx_scope, tlctx_override):
            tlctx_override(user="ann", basket="fake")
            ctx.user = "lost"
            ctx.note = "kept"
            vars(ctx).update(user="lost", note="kept too")
            vars(ctx)["user"] = "lost"
            vars(ctx).__ior__({"user": "lost"})
            vars(ctx).clear()
            assert vars(ctx) == {"user": "ann", "basket": "fake"}
            ctx.note = "kept too"
            assert (ctx.user, ctx.get("user"), vars(ctx)["user"], ctx.basket) == ("ann", "ann", "ann", "fake")
            assert ctx.note == "kept too"
            assert ctx.setdefault("user", "lost") == ctx.pop("user") == ctx.pop("user", "lost") == "ann"
            del ctx.user
            assert "user" in ctx and repr(ctx).endswith("user, basket, note>"), repr(ctx)
            assert ctx.pop("note") == "kept too"
            assert ctx.pop("note", "gone") == "gone"
            ctx.note = "kept"
            del ctx.note
            assert "note" not in ctx

            with ThreadPoolExecutor(1, contexts=[ctx]) as pool:
                assert pool.submit(lambda: ctx.user).result() == "ann"
            found = []
            def other():
                with ctx.scope(user="lost"):
                    found.append(ctx.user)
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
            assert found == ["ann"]

        def test_ended(tlctx_scope, tlctx_override):
            tlctx_override(user="ann")
            tlctx_scope.close()
            with pytest.raises(OutsideRequestError, match="has ended"):
                ctx.user

        def test_outside(tlctx_override):
            tlctx_override(user="ann")
            with pytest.raises(OutsideRequestError):
                ctx.user
        """
    ).assert_outcomes(passed=3)


def test_a_per_request_is_made_anew_for_each_request_and_closed_with_it(run: Run) -> None:
    run(
        """
        closed = []

        @per_request
        def fake(self):
            made = ["made for", self.user]
            yield made
            closed.append(made)

        def test_overridden(tlctx_client, tlctx_override):
            tlctx_override(basket=fake, user="ann")
            assert tlctx_client.get("/").text == tlctx_client.get("/").text == "ann has made for, ann"
            assert len(closed) == 2

        def test_a_field(tlctx_override):
            tlctx_override(user=per_request(lambda self: "made"), basket=fake)
            with ctx.scope():
                assert ctx.user == "made"
                tlctx_override(basket=["plain"])
                assert ctx.basket == ["plain"]

        def test_after(tlctx_client):
            assert tlctx_client.get("/").text == "stranger has the real one"
            assert isinstance(vars(Ctx)["basket"], per_request) and vars(Ctx)["basket"] is not fake
        """
    ).assert_outcomes(passed=3)


@pytest.mark.servers
@pytest.mark.parametrize("arguments", ["usr='ann'", "scope=1"])
def test_a_name_that_no_request_could_assign_is_refused(run: Run, arguments: str) -> None:
    run(
        f"""
        class Strict(Ctx, strict=True):
            __slots__ = ()

        strict = Strict()

        @pytest.fixture
        def tlctx_context():
            return strict

        def test_refused(tlctx_override):
            with pytest.raises(AttributeError):
                tlctx_override(user="ann", {arguments})
            with strict.scope():
                assert strict.user == "stranger"

        def test_strict(tlctx_override):
            tlctx_override(user="ann")
            with strict.scope(user="lost"):
                assert strict.user == "ann"
                with pytest.raises(AttributeError, match="did you mean"):
                    strict.usr = 1
                with pytest.raises(AttributeError, match="did you mean"):
                    vars(strict).update(usr=1)
        """
    ).assert_outcomes(passed=2)


@pytest.mark.servers
def test_requests_of_another_context_and_those_that_go_on_after_the_test_read_their_own(run: Run) -> None:
    run(
        """
        other = Ctx()
        goes_on = ctx.scope()

        @pytest.mark.tlctx_guard("never")
        def test_overridden(tlctx_override):
            tlctx_override(user="ann")
            with other.scope(user="bob"):
                assert other.user == "bob"
            goes_on.__enter__()
            assert ctx.user == "ann"

        def test_after():
            ctx.user = "cleo"
            assert ctx.user == "cleo"
            goes_on.__exit__(None, None, None)
        """
    ).assert_outcomes(passed=2)
