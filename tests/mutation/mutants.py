"""Mutants: a module's source with one small change that some test should notice."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = {
    ast.Is: ("is not", "=="),
    ast.IsNot: ("is",),
    ast.Eq: ("!=",),
    ast.NotEq: ("==",),
    ast.In: ("not in",),
    ast.NotIn: ("in",),
    ast.Lt: ("<=", ">"),
    ast.LtE: ("<", ">"),
    ast.Gt: (">=", "<"),
    ast.GtE: (">", "<"),
}
WIDER = {"Exception": "BaseException", "BaseException": "Exception"}


@dataclass(frozen=True)
class Mutant:
    """`before` at the offset `start` of the source becomes `after`."""

    line: int
    start: int
    before: str
    after: str

    def apply(self, source: str) -> str:
        assert source.startswith(self.before, self.start)
        return source[: self.start] + self.after + source[self.start + len(self.before) :]

    def __str__(self) -> str:
        return f"{' '.join(self.before.split())} -> {' '.join(self.after.split())}"


class Mutator:
    """Finds every mutant of a source."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.tree = ast.parse(source)
        self._lines = [0]
        for line in source.encode().splitlines(keepends=True):
            self._lines.append(self._lines[-1] + len(line))

    def mutants(self) -> list[Mutant]:
        """The mutants that compile, each once."""
        found = {mutant: None for node in self._code(self.tree) for mutant in self._of(node)}
        return [mutant for mutant in found if self._compiles(mutant)]

    def _compiles(self, mutant: Mutant) -> bool:
        try:
            compile(mutant.apply(self.source), "mutant", "exec")
        except SyntaxError:
            return False
        return True

    def _code(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes below, without annotations and what only type checkers see."""
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        yield node
        for name, value in ast.iter_fields(node):
            if name not in ("annotation", "returns", "type_params"):
                for child in value if isinstance(value, list) else [value]:
                    if isinstance(child, ast.AST):
                        yield from self._code(child)

    def _offset(self, line: int, column: int) -> int:
        return len(self.source.encode()[: self._lines[line - 1] + column].decode())

    def _change(self, node: ast.expr | ast.stmt, after: str) -> Mutant:
        start = self._offset(node.lineno, node.col_offset)
        end = self._offset(node.end_lineno or 0, node.end_col_offset or 0)
        return Mutant(node.lineno, start, self.source[start:end], after)

    def _text(self, node: ast.expr) -> str:
        return f"({self._change(node, '').before})"

    def _of(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.If() | ast.While() | ast.IfExp():
                yield self._change(node.test, f"(not {self._text(node.test)})")
            case ast.comprehension():
                for test in node.ifs:
                    yield self._change(test, f"(not {self._text(test)})")
            case ast.BoolOp():
                yield from self._of_bool(node)
            case ast.Compare(ops=[operator]):
                for other in OTHER[type(operator)]:
                    if other == "==" and isinstance(node.comparators[0], ast.Constant):
                        continue  # what equals None is None
                    yield self._change(node, f"{self._text(node.left)} {other} {self._text(node.comparators[0])}")
            case ast.Constant(value=bool(value)):
                yield self._change(node, str(not value))
            case ast.Constant(value=int(value)):
                yield self._change(node, str(value + 1))
            case ast.Call(func=ast.Name(id="suppress") | ast.Attribute(attr="suppress")):
                for argument in node.args:
                    yield from self._of_caught(argument)
            case ast.ExceptHandler(type=ast.expr() as caught):
                yield self._change(caught, "()")
                yield from self._of_caught(caught)
            case ast.Try():
                yield from self._of_try(node)
            case ast.With(items=[ast.withitem(optional_vars=None) as item]):
                start = self._offset(node.lineno, node.col_offset)
                end = self._offset(item.context_expr.end_lineno or 0, item.context_expr.end_col_offset or 0)
                yield Mutant(node.lineno, start, self.source[start:end], "if True")
            case ast.stmt():
                yield from self._of_statement(node)

    def _of_bool(self, node: ast.BoolOp) -> Iterator[Mutant]:
        word, other = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        parts = [self._text(value) for value in node.values]
        yield self._change(node, f"({f' {other} '.join(parts)})")
        for number in range(len(parts)):
            kept = parts[:number] + parts[number + 1 :]
            yield self._change(node, f"({f' {word} '.join(kept)})")

    def _of_caught(self, caught: ast.expr) -> Iterator[Mutant]:
        for name in ast.walk(caught):
            if isinstance(name, ast.Name) and name.id in WIDER:
                yield self._change(name, WIDER[name.id])

    def _of_try(self, node: ast.Try) -> Iterator[Mutant]:
        """What `finally` guards runs after success alone."""
        if node.finalbody and not node.handlers:
            whole = self._change(node, "")
            indent = " " * node.col_offset
            sequence = whole.before.replace("try:", "if True:", 1)
            head, word, tail = sequence.rpartition(f"\n{indent}finally:")
            if word and tail.count("finally:") == 0:
                yield self._change(node, f"{head}\n{indent}if True:{tail}")

    def _of_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.Expr(value=ast.Constant()):
                return
            case ast.Expr() | ast.Raise() | ast.Delete() | ast.AugAssign() | ast.Assert():
                yield self._change(node, "pass")
            case ast.Assign(targets=[target, *_]) if not isinstance(target, ast.Name):
                yield self._change(node, "pass")
            case ast.AnnAssign(target=ast.Attribute(), value=ast.expr()):
                yield self._change(node, "pass")
            case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
                yield self._change(node, "return None")
            case ast.Break() | ast.Continue():
                yield self._change(node, "break" if isinstance(node, ast.Continue) else "continue")
