"""What a class annotates, read without evaluating it.

An annotation may name what is imported for type checkers alone, or defined further down, and from Python 3.14 on nobody
may ever evaluate it. To evaluate it would also import what is imported lazily.
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from typing import TYPE_CHECKING, Any, ClassVar, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["annotated_names", "without_annotations"]

_LAZY: Any = getattr(types, "LazyImportType", ())


def annotated_names(cls: type) -> dict[str, bool]:
    """The names that `cls` itself annotates, and of each whether it is a class variable."""
    return {name: _is_class_variable(annotation, cls) for name, annotation in _annotations(cls).items()}


if sys.version_info >= (3, 14):
    import annotationlib

    class _Unevaluated:
        """An annotate function whose code annotationlib may have, and which it may not call to see what that gives."""

        def __init__(self, annotate: Any) -> None:
            self._annotate = annotate

        def __getattr__(self, name: str) -> Any:
            return getattr(self._annotate, name)

        def __call__(self, kind: int, /) -> Any:
            if kind == annotationlib.Format.VALUE_WITH_FAKE_GLOBALS:
                raise ValueError("its globals are the real ones, so this would evaluate")
            return self._annotate(kind)

    def _annotations(cls: type) -> dict[str, Any]:
        annotate = getattr(cls, "__annotate__", None)
        if annotate is None:  # they are texts, or values that somebody has put there
            return inspect.get_annotations(cls)
        try:
            return annotationlib.call_annotate_function(_Unevaluated(annotate), annotationlib.Format.STRING, owner=cls)
        except (AttributeError, NotImplementedError, TypeError):  # it is nobody's code, or gives nothing but values
            return annotationlib.get_annotations(cls, format=annotationlib.Format.FORWARDREF)

else:
    _annotations = inspect.get_annotations


def _is_class_variable(annotation: Any, cls: type) -> bool:
    if not isinstance(annotation, str):
        return annotation is ClassVar or get_origin(annotation) is ClassVar
    written = re.match(r"\s*([\w.]+)", annotation)
    if written is None:
        return False
    names = written[1].split(".")
    return names[-1] == "ClassVar" or any(_leads_to_class_variable(names, known) for known in _namespaces(cls))


def _leads_to_class_variable(names: list[str], namespace: Mapping[str, Any]) -> bool:
    value = namespace.get(names[0])
    for name in names[1:]:
        value = vars(value).get(name) if isinstance(value, types.ModuleType) else None
    return value is ClassVar or (isinstance(value, _LAZY) and "'typing.ClassVar'" in repr(value))


def _namespaces(cls: type) -> Iterator[Mapping[str, Any]]:
    """Where a name in an annotation of `cls` may come from."""
    yield vars(cls)
    annotate: Any = getattr(cls, "__annotate__", None)  # new in Python 3.14
    if hasattr(annotate, "__code__"):
        yield {name: cell.cell_contents for name, cell in _cells(annotate) if cell != types.CellType()}  # not empty
        yield annotate.__globals__
    module = sys.modules.get(cls.__module__)
    if module is not None:
        yield vars(module)


def _cells(function: Any) -> Iterator[tuple[str, types.CellType]]:
    return zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)


def without_annotations(function: Any) -> Any:
    """What has the same signature without annotations, so that `inspect.signature` evaluates none."""
    plain = inspect.unwrap(function, stop=lambda wrapper: hasattr(wrapper, "__signature__"))
    if not isinstance(plain, types.FunctionType):
        return function
    bare = types.FunctionType(plain.__code__, {}, plain.__name__, plain.__defaults__, plain.__closure__)
    bare.__kwdefaults__ = plain.__kwdefaults__
    vars(bare).update(vars(plain))  # __signature__, or what functools.partialmethod notes
    return bare
