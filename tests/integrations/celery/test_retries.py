"""Celery: error callbacks, retries, and headers that others have written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("celery", reason="needs Celery")

from celery import Task
from support.celery_app import TaskCtx, messages_of, run_all, run_one, task_of

HEADER = "tlctx.ctx"


def headers_of(app: Any) -> list[Any]:
    return [message.headers.get(HEADER) for message in messages_of(app)]


class TestErrorCallbacks:
    @pytest.fixture
    def failing(self, app: Any, ctx: TaskCtx) -> Any:
        @task_of(app)
        def failing() -> None:
            ctx.user = "changed"
            raise ValueError

        return failing

    def test_one_that_is_sent_has_the_values(self, app: Any, ctx: TaskCtx, failing: Any) -> None:
        noted: list[Any] = []

        @task_of(app)
        def note(task_id: str) -> None:
            noted.append(ctx.user)

        with ctx.scope(user="ann"):
            failing.apply_async(link_error=note.s())
        assert run_all(app) == 2
        assert noted == ["ann"]

    def test_one_that_is_called_in_the_worker_has_a_scope_of_its_own_with_the_values(
        self, app: Any, ctx: TaskCtx, failing: Any, look: Any
    ) -> None:
        noted: list[Any] = []

        @task_of(app)
        def note(request: Any, error: Any, trace: Any) -> None:
            noted.extend([ctx.user, ctx.work, type(error)])
            look.delay()

        with ctx.scope(user="ann"):
            failing.apply_async(link_error=note.s())
        (message,) = messages_of(app)
        run_one(app, message)
        assert noted == ["ann", ["done"], ValueError]
        assert headers_of(app) == ['{"user":"ann"}']


class TestRetries:
    def test_each_try_begins_with_the_first_values(self, app: Any, ctx: TaskCtx) -> None:
        tries: list[Any] = []

        @task_of(app, bind=True)
        def flaky(self: Any) -> None:
            tries.append((self.request.retries, ctx.user, ctx.get("tags")))
            ctx.user, ctx.tags = "changed", "changed"
            if len(tries) < 3:
                raise self.retry(countdown=0)

        with ctx.scope(user="ann"):
            flaky.delay()
        run_all(app)
        assert tries == [(0, "ann", None), (1, "ann", None), (2, "ann", None)]

    def test_one_that_was_sent_without_values_gets_none(self, app: Any, ctx: TaskCtx) -> None:
        tries: list[Any] = []

        @task_of(app, bind=True)
        def flaky(self: Any) -> None:
            tries.append(ctx.user)
            ctx.user = "changed"
            if len(tries) < 2:
                raise self.retry(countdown=0)

        flaky.delay()
        run_all(app)
        assert tries == ["nobody", "nobody"]

    def test_a_header_named_headers_as_sentry_sends_one_changes_nothing(
        self, app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
    ) -> None:
        tries: list[Any] = []

        @task_of(app, bind=True)
        def flaky(self: Any) -> None:
            if not tries:
                assert list(self.request.headers) == ["trace"]  # Celery takes it for all that there are
            tries.append(ctx.user)
            ctx.user = "changed"
            if len(tries) < 3:
                raise self.retry(countdown=0)

        with ctx.scope(user="ann"):
            flaky.apply_async(headers={"headers": {"trace": "1"}}, link=look.s())
        run_all(app)
        assert tries == ["ann", "ann", "ann"]
        assert seen == [("ann", None, "none")]

    @pytest.mark.parametrize("made_of", ["a function", "a class"])
    def test_autoretry_begins_again_too_and_covers_the_teardown(self, app: Any, ctx: TaskCtx, made_of: str) -> None:
        tries: list[Any] = []

        def commit() -> None:
            if len(tries) < 3:
                raise OSError

        def flaky() -> str:
            tries.append(ctx.user)
            if len(tries) == 1:
                raise OSError
            ctx.callback(commit)
            return "committed"

        class Flaky(Task):  # type: ignore[misc]
            name, autoretry_for, default_retry_delay, run = "flaky", (OSError,), 0, staticmethod(flaky)

        options = {"autoretry_for": (OSError,), "default_retry_delay": 0}
        task = app.register_task(Flaky) if made_of == "a class" else task_of(app, **options)(flaky)
        with ctx.scope(user="ann"):
            result = task.delay()
        run_all(app)
        assert tries == ["ann", "ann", "ann"]
        assert result.get() == "committed"

    def test_a_task_that_takes_the_place_of_another_has_the_values(
        self, app: Any, ctx: TaskCtx, look: Any, seen: list[Any]
    ) -> None:
        @task_of(app, bind=True)
        def replaced(self: Any) -> None:
            raise self.replace(look.s())

        with ctx.scope(user="ann"):
            result = replaced.delay()
        run_all(app)
        assert seen == [("ann", None, "none")]
        assert result.get() == "looked"


class TestHeaders:
    def send(self, app: Any, text: Any, name: str = "look") -> Any:
        return app.send_task(name, headers={HEADER: text})

    @pytest.mark.parametrize(
        "text", ["[", "[" * 100_000, "[]", "{]", '"SESAME"', 1, ["SESAME"], {"user": "SESAME"}], ids=range(8)
    )
    def test_one_that_is_not_ours_fails_the_task_before_it_begins(
        self, app: Any, look: Any, seen: list[Any], text: Any
    ) -> None:
        result = self.send(app, text)
        run_all(app)
        assert seen == []
        with pytest.raises(ValueError, match=r"the header tlctx.ctx of the task look is not what") as caught:
            result.get()
        assert "SESAME" not in str(caught.value)

    def test_of_one_with_more_values_the_worker_takes_those_that_it_allows_itself(
        self, app: Any, look: Any, seen: list[Any]
    ) -> None:
        self.send(app, '{"user": "ann", "secret": "taken", "scope": 1, "unknown": 2}')
        run_all(app)
        assert seen == [("ann", None, "none")]
