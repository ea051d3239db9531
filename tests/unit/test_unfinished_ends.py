"""How a scope ends that could not be closed where it ended: another one closes it, or somebody by hand."""

from __future__ import annotations

import pytest
from support.ends import Empty, Full, Part, Struck, striking

from tlctx import RequestContext, Scope, counters
from tlctx._core.implementation import swap_dict
from tlctx._core.teardown import unfinished

ctx: RequestContext = Empty()


@pytest.fixture(autouse=True, params=[Empty, Full])
def _context(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ctx", request.param())


@pytest.fixture
def log() -> list[str]:
    return []


def unfinished_scope(log: list[str], error: BaseException | None = None) -> Scope:
    """A scope that could not be closed."""
    scope = Scope(ctx)
    with striking(Scope, "leave"), pytest.raises(Struck), scope:
        ctx.enter_context(Part(log, error))
    swap_dict(ctx, None)
    assert scope.serial in unfinished
    assert log == []
    return scope


def test_the_close_of_another_closes_it_before_its_own_teardown_runs(log: list[str]) -> None:
    other = Scope(ctx)
    other.callback(log.append, "the other's")
    scope = unfinished_scope(log)
    other.close()
    assert scope.ended
    assert log == ["NoneType", "the other's"]
    assert not unfinished


def test_entering_another_closes_it_before_the_block_begins(log: list[str]) -> None:
    scope = unfinished_scope(log)
    with ctx.scope():
        assert scope.ended
        assert log == ["NoneType"]


def test_it_is_reported_although_another_error_is_handled_meanwhile(log: list[str]) -> None:
    before = counters()
    unfinished_scope(log)
    try:
        raise ValueError
    except ValueError:
        with ctx.scope():
            pass
    assert counters().unleft_scopes == before.unleft_scopes + 1


def test_its_own_close_ends_it_once_and_reports_nothing(log: list[str]) -> None:
    before = counters()
    scope = unfinished_scope(log)
    scope.close()
    assert log == ["NoneType"]
    assert counters() == before
    assert not unfinished


@pytest.mark.parametrize("error", [ValueError, Struck])
def test_what_its_teardown_raises_is_reported_and_disturbs_nobody(
    log: list[str], caplog: pytest.LogCaptureFixture, error: type[BaseException]
) -> None:
    before = counters()
    scope = unfinished_scope(log, error())
    with ctx.scope():
        log.append("in the next")
    assert scope.ended
    assert log == ["NoneType", "in the next"]
    assert counters().failed_teardowns == before.failed_teardowns + 1
    assert counters().unleft_scopes == before.unleft_scopes + 1
    messages = [record.getMessage() for record in caplog.records]
    assert sum("its teardown failed" in message for message in messages) == 1
    assert sum("no stack was left" in message for message in messages) == 1
