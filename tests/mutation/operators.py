"""The operators: cosmic-ray's, without those that say nothing here, and three for what this code is made of.

The core catches errors, cleans up and lets go. Cosmic-ray has no operator that drops a statement, widens or narrows an
`except`, or skips a `finally`, so these are here.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from cosmic_ray.ast import ast_nodes, get_ast  # type: ignore[import-untyped]
from cosmic_ray.operators.provider import OperatorProvider  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from collections.abc import Iterator

Position = tuple[int, int]

SAYS_NOTHING = re.compile(
    r"Variable(Replacer|Inserter)"  # they need to be told of names, and choose at random
    r"|ReplaceComparisonOperator_Is(Not)?_(Lt|LtE|Gt|GtE)"  # objects have no order: a TypeError at the first call
)
IN_SUCCESS = 'if __import__("sys").exc_info()[1] is None:'
REMOVABLE = {"expr_stmt", "atom_expr", "await_expr", "del_stmt", "raise_stmt"}
BROAD = {"BaseException": "Exception", "Exception": "BaseException"}


class RemoveStatement:
    """Replaces a call, an assignment, `del`, `raise` or a bare `return` in a function with `pass`."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if _is_statement(node) and node.search_ancestor("funcdef") is not None:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        return _parse_like("pass", node)


class SwapBroadException:
    """Replaces `BaseException` with `Exception`, and the other way round."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "name" and node.value in BROAD:
            yield node.start_pos, node.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        node.value = BROAD[node.value]
        return node


class SkipFinally:
    """Has the body of a `finally` run only if there was no error."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Position, Position]]:
        if node.type == "try_stmt" and "finally" in _keywords(node):
            keyword = node.children[_keywords(node).index("finally")]
            yield keyword.start_pos, keyword.end_pos

    def mutate(self, node: Any, _index: int) -> Any:
        suite = node.children[-1]
        lines = suite.get_code().splitlines(keepends=True)
        first = next(line for line in lines if line.strip())
        indent = first[: len(first) - len(first.lstrip())]
        body = "".join("    " + line if line.strip() else line for line in lines).lstrip("\n")
        node.children[-1] = _parse(f"\n{indent}{IN_SUCCESS}\n{body}")
        return node


def _is_statement(node: Any) -> bool:
    if node.parent is None or node.parent.type != "simple_stmt":
        return False
    return node.type in REMOVABLE or (node.type == "keyword" and node.value in ("raise", "return"))


def _keywords(node: Any) -> list[str]:
    return [getattr(child, "value", "") for child in node.children]


def _parse(code: str) -> Any:
    return get_ast(code)


def _parse_like(code: str, node: Any) -> Any:
    """The code with the white space and comments before it that `node` has."""
    return _parse(node.get_first_leaf().prefix + code)


def operators() -> dict[str, Any]:
    """Every operator by its name."""
    provider = OperatorProvider()
    theirs = {name: provider[name]() for name in provider if not SAYS_NOTHING.fullmatch(name)}
    ours = {kind.__name__: kind() for kind in (RemoveStatement, SwapBroadException, SkipFinally)}
    return theirs | ours


def mutate(source: str) -> Iterator[tuple[str, Position, str]]:
    """For every mutant of the source: the operator's name, the place that it changes, and the whole new source."""
    root = get_ast(source)
    nodes = list(ast_nodes(root))
    for name, operator in operators().items():
        for node in nodes:
            if node.parent is not None and node.parent.type == "parameters":
                continue  # a bare `*`, which is no multiplication
            for index, (place, _) in enumerate(list(operator.mutation_positions(node))):
                with _restored(node):
                    _put(node, operator.mutate(node, index))
                    mutated = root.get_code()
                yield name, place, mutated


def _put(node: Any, new: Any) -> None:
    """Have `new` in the place of `node`, or nothing if it is None."""
    if new is not node:
        siblings = node.parent.children
        place = next(number for number, sibling in enumerate(siblings) if sibling is node)
        siblings[place : place + 1] = [] if new is None else [new]


@contextmanager
def _restored(node: Any) -> Iterator[None]:
    """Parsing takes longest, so the tree is made once, and what an operator did to it is undone."""
    values = [(leaf, leaf.value) for leaf in ast_nodes(node) if hasattr(leaf, "value")]
    children = [(parent, list(parent.children)) for parent in (node.parent, *ast_nodes(node)) if _has_children(parent)]
    try:
        yield
    finally:
        for leaf, value in values:
            leaf.value = value
        for parent, some in children:
            parent.children = some


def _has_children(node: Any) -> bool:
    return getattr(node, "children", None) is not None
