"""`local`: the record of a thread, where it is kept, and what its end does and does not touch."""

from __future__ import annotations

import _thread
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from support.helpers import Boom, in_thread

from tlctx._core import threads as thread_records
from tlctx._core.threads import ForeignThread, ThreadRecord, ThreadStorage, current_record, storage

NOBODY = -1
"""The id of no thread."""


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    yield
    assert NOBODY not in thread_records._latest
    assert not thread_records._ending


def record_of_nobody(ident: int = NOBODY) -> ThreadRecord:
    return ThreadRecord(ident, ForeignThread(ident))


class Impl:
    """The map behind a `local`, which does what the test says when a thread ends."""

    serial = -1

    def __init__(self, forget: Any) -> None:
        self.forget = forget


def test_records_are_kept_where_threading_says_that_a_threads_data_live(monkeypatch: pytest.MonkeyPatch) -> None:
    class Patched(threading.local):
        """As gevent's."""

    before = current_record()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "local", Patched)
        assert current_record() is not before
        assert current_record() is current_record()
        assert type(storage.here) is Patched
    del storage._instances[Patched]
    assert current_record() is before


def test_records_are_kept_by_the_interpreter_where_our_local_is_in_the_place_of_its_own(
    local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = current_record()
    with monkeypatch.context() as patch:
        patch.setattr(threading, "local", local)
        current_record()
        assert type(storage.here) is _thread._local
    del storage._instances[local]
    assert current_record() is before


def test_the_storage_is_there_at_once_and_again_when_a_thread_has_ended(local: Any) -> None:
    instance = local()
    assert ThreadStorage().kind is threading.local
    in_thread(lambda: setattr(instance, "x", 1))
    assert storage.kind is threading.local


def test_the_identity_of_a_thread_is_its_records_key_and_reference() -> None:
    def look() -> bool:
        record = current_record()
        return bool(storage.here.identity == (record.key, record.ref))

    assert look()
    assert in_thread(look)


def test_a_foreign_thread_is_named_by_its_id() -> None:
    assert record_of_nobody().thread.name == "foreign thread -1"


def test_a_record_leaves_the_one_that_came_after_it_under_its_id() -> None:
    old, new = record_of_nobody(), record_of_nobody()
    latest = thread_records._latest[NOBODY] = weakref.ref(new)
    del old
    assert thread_records._latest[NOBODY] is latest
    del new
    assert NOBODY not in thread_records._latest


def test_a_record_that_is_not_the_latest_of_any_id_ends_too(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", failures.append)
    ended: list[int] = []
    impl, record = Impl(ended.append), record_of_nobody()
    record.register(impl)
    key = record.key
    del record
    assert (ended, failures) == ([key], [])


def test_a_record_touches_nothing_while_the_interpreter_ends() -> None:
    ended: list[int] = []
    impl, record = Impl(ended.append), record_of_nobody()
    record.register(impl)
    record.__del__(lambda: True)
    assert ended == []
    assert list(record.locals) == [impl.serial]


def test_a_local_that_goes_on_another_thread_while_a_record_ends_is_no_error() -> None:
    class JustEmptied(dict[int, Any]):
        def __bool__(self) -> bool:  # as it was when the record looked
            return True

        __len__ = lambda self: 1  # noqa: E731

    record = record_of_nobody()
    record.locals = JustEmptied()
    record.end()
    record.locals = {}


def test_an_error_while_a_record_ends_does_not_make_later_uses_belong_to_it() -> None:
    def fail(key: int) -> None:
        raise Boom

    impl, record, mine = Impl(fail), record_of_nobody(), current_record()
    record.register(impl)
    with pytest.raises(Boom):
        record.__del__()
    assert not thread_records._ending
    assert storage.kind is threading.local
    assert current_record() is mine


def test_a_record_that_ends_while_another_does_gives_way_to_that_again() -> None:
    def drop_the_inner(key: int) -> None:
        kept.clear()
        found.append(thread_records._ending[threading.get_ident()])

    kept: list[ThreadRecord] = [record_of_nobody()]
    found: list[ThreadRecord] = []
    impl, outer = Impl(drop_the_inner), record_of_nobody()
    outer.register(impl)
    outer.__del__()
    assert found == [outer]


@pytest.mark.parametrize("offset", [-1, 1])
def test_a_thread_that_ends_anothers_record_keeps_its_own_for_what_it_does_meanwhile(offset: int) -> None:
    mine, found = current_record(), []
    impl, record = Impl(lambda key: found.append(current_record())), record_of_nobody(mine.ident + offset)
    record.register(impl)
    record.__del__()
    assert found == [mine]


def test_what_a_thread_does_while_it_ends_its_own_record_belongs_to_that() -> None:
    found: list[Any] = []
    impl, record = Impl(lambda key: found.append(current_record())), record_of_nobody(threading.get_ident())
    record.register(impl)
    record.__del__()
    assert found == [record]
