"""Which mutants count: those that change something at run time.

Two sources are compared as syntax trees, without all that only a type checker or a reader looks at: annotations,
docstrings, blocks under TYPE_CHECKING, overloads, `__all__`, type variables, the type in a `cast`. If the trees are
equal then, the mutant is none. Likewise if it does not compile.
"""

from __future__ import annotations

import ast
import warnings
from typing import Any

TYPE_VARIABLES = {"TypeVar", "ParamSpec", "TypeAlias"}
NEGATED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
TYPE_ONLY_DECORATORS = {"overload", "final", "override"}


def outline(source: str) -> str | None:
    """The source as it runs, to be compared with another, or None if it does not compile."""
    try:
        with warnings.catch_warnings(action="error"):  # as in the tests
            compile(source, "<mutant>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    return ast.dump(_Runtime().visit(ast.parse(source)))


class _Runtime(ast.NodeTransformer):
    """Removes what has no effect at run time."""

    def visit_If(self, node: ast.If) -> Any:
        if any(_name(part) == "TYPE_CHECKING" for part in ast.walk(node.test)):  # or what an operator made of it
            return [self.visit(statement) for statement in node.orelse] or ast.Pass()
        return self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> Any:
        is_typing = isinstance(node.value, ast.Call) and _name(node.value.func) in TYPE_VARIABLES
        if is_typing or any(_name(target) == "__all__" for target in node.targets):
            return ast.Pass()
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        if node.value is None:
            return ast.Pass()
        assignment = ast.Assign([node.target], node.value)
        return self.generic_visit(assignment)

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Any:
        if any(_name(decorator) == "overload" for decorator in node.decorator_list):
            return ast.Pass()
        node.decorator_list = [each for each in node.decorator_list if _name(each) not in TYPE_ONLY_DECORATORS]
        node.returns = None
        return self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # noqa: N815

    def visit_Expr(self, node: ast.Expr) -> Any:
        if isinstance(node.value, ast.Constant):  # a docstring, or `...`
            return ast.Pass()
        return self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> Any:
        """`not a is b` is `a is not b`, so that two operators don't make one mutant twice."""
        self.generic_visit(node)
        compared = node.operand
        if isinstance(node.op, ast.Not) and isinstance(compared, ast.Compare) and len(compared.ops) == 1:
            negated = NEGATED.get(type(compared.ops[0]))
            if negated is not None:
                return ast.Compare(compared.left, [negated()], compared.comparators)
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        if _name(node.func) == "cast":
            return self.visit(node.args[1])
        return self.generic_visit(node)


def _name(node: ast.AST) -> str:
    """The last part of a name with dots, or nothing."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
