"""Log records that say whose request they are from: for `logging`, structlog and loguru. It imports neither of those.

handler.addFilter(ContextFilter(ctx, ["user"]))         # record.user and record.request_id, of every logger
handler.setFormatter(logging.Formatter("%(levelname)s [%(request_id)s %(user)s] %(message)s"))

What is stamped is a text, a number, a bool or None, and refers to nothing of the request: it may be kept, pickled and
sent on. A text is one line, so that a client can't forge another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any

from tlctx import RequestContext, local
from tlctx import ctx as default_ctx
from tlctx.lowlevel import check_context, check_field

__all__ = ["ContextFilter", "LoguruPatcher", "StructlogProcessor"]

Fields = Iterable[str] | Mapping[str, str]

_REQUEST_ID = "tlctx.request_id"
"""The key under which `tlctx.headers` leaves the request's id in its environ, or ASGI scope."""
_PLAIN = {int, float, bool, type(None)}
_get = dict.get
_OF_RECORDS = frozenset({*vars(logging.makeLogRecord({})), "asctime", "getMessage", "message", "taskName"})
_OF_EVENTS = frozenset({"event", "exc_info", "exception", "level", "logger", "stack", "stack_info", "timestamp"})


class _Texts(local):
    busy = False  # whether this thread, or greenlet, makes a text of a value, whose code may log itself


_texts = _Texts()


class _Stamp:
    """What the filter, the processor and the patcher have in common: they add values of the request to a mapping."""

    _reserved: frozenset[str] = frozenset()

    def __init__(
        self,
        ctx: RequestContext = default_ctx,
        fields: Fields = (),
        *,
        request_id: str | None = "request_id",
        default: Any = "-",
    ) -> None:
        check_context(ctx)
        super().__init__()
        self.ctx = ctx
        self.default = default
        names = _names_in(fields)
        for name in names:
            check_field(ctx, name)
        if request_id is not None:
            names = {request_id: names.get(request_id, request_id)} | names
        _check_names(names, self._reserved)
        self._id = None if request_id is None else names[request_id]
        self._names = list(names.items())

    def _add(self, found: MutableMapping[str, Any]) -> None:
        """Add what is not in `found` yet: what came with the record itself stays. Never raises."""
        default = self.default
        try:
            namespace: Any = self.ctx.__dict__  # one that is empty, where no request runs
            if self._id is not None and (scope := namespace.scope) is not None:
                source = scope.source
                if type(source) is dict and _REQUEST_ID in source:
                    found.setdefault(self._id, source[_REQUEST_ID])
            for name, under in self._names:
                if under not in found:
                    value = _get(namespace, name, default)
                    plain = value.isprintable() if type(value) is str else type(value) in _PLAIN
                    found[under] = value if plain else self._text(value)
        except Exception:  # noqa: BLE001  # a log line is worth more than its stamp
            for _, under in self._names:
                found.setdefault(under, default)

    def _text(self, value: object) -> Any:
        """One line of text. The class of `value` may be anybody's, and raise, or log."""
        if value is self.default or _texts.busy:
            return self.default
        _texts.busy = True
        try:
            text = "".join([str(value)])  # of no other class than str
            return text if text.isprintable() else "".join(map(_escaped, text))
        except Exception:  # noqa: BLE001
            return f"<unprintable {type(value).__name__}>"
        finally:
            _texts.busy = False


class ContextFilter(_Stamp, logging.Filter):
    """A filter of `logging` that puts values of the current request on each record, and lets all records pass.

    Add it to a handler, not to a logger: there it sees the records of every logger. Before a queue it belongs on the
    QueueHandler.

    `fields` lists fields of `ctx`, or maps them to the names that they get on the record. `request_id` is the field
    with the request's id, and its name on the record; an id that `tlctx.headers` has read comes first. None stamps
    none. `default` stands for what has no value: outside a request, all of it.

    A `per_request` value is stamped if the request has made it. What the record has already stays. It never raises.

    Raises TypeError if `ctx` is no RequestContext, AttributeError if it can't have one of the fields, ValueError if a
    name is one that each record has, `name` or `message` for example.
    """

    _reserved = _OF_RECORDS

    def filter(self, record: logging.LogRecord) -> bool:
        """Stamp `record`."""
        self._add(record.__dict__)
        return True


class StructlogProcessor(_Stamp):
    """A processor of structlog that adds values of the current request to each event, as `ContextFilter` does."""

    _reserved = _OF_EVENTS

    def __call__(
        self, logger: object, method_name: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Add to `event_dict`, and return it."""
        self._add(event_dict)
        return event_dict


class LoguruPatcher(_Stamp):
    """A patcher of loguru that adds values of the current request to each record's `extra`, as `ContextFilter` does."""

    def __call__(self, record: Any) -> None:
        """Add to `record["extra"]`."""
        self._add(record["extra"])


def _names_in(fields: Fields) -> dict[str, str]:
    """The name under which each field is stamped."""
    if isinstance(fields, str):
        raise TypeError(f"fields has to be several names, in a list: fields=[{fields!r}]")
    return dict(fields) if isinstance(fields, Mapping) else {name: name for name in fields}


def _check_names(names: Mapping[str, str], reserved: frozenset[str]) -> None:
    stamped: set[str] = set()
    for name, under in names.items():
        if not isinstance(under, str):
            raise TypeError(f"the field {name!r} has to be stamped under a name, a text, not {type(under).__name__}")
        if under in reserved:
            raise ValueError(
                f"each record has a {under!r} of its own: stamp the field {name!r} under another name, "
                f"fields={{{name!r}: 'ctx_{under}'}}"
            )
        if under in stamped:
            raise ValueError(f"two fields can't both be stamped under {under!r}")
        stamped.add(under)


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
