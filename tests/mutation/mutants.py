"""Mutants of the package: what each changes, and an id that it keeps when lines move."""

from __future__ import annotations

import ast
import difflib
import hashlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutation.operators import mutate
from mutation.relevant import outline

ROOT = Path(__file__).resolve().parent.parent.parent
PUBLIC = tuple(
    Path(f"tlctx/{name}.py")
    for name in ("_bodies", "wsgi", "flask/__init__", "flask/_answers", "flask/_contexts", "flask/_ends", "lowlevel")
)
CHOICE = Path("tlctx/_core/implementation.py")
"""Chooses the implementation, and the run has chosen the pure one."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    `lines` are those of the statement that it changes, `body` those of the function or class whose head it changes.
    """

    id: str
    file: str
    line: int
    operator: str
    source: str
    diff: str
    lines: frozenset[int]
    body: frozenset[int]


def files() -> list[Path]:
    """The files to mutate, below the root."""
    core = sorted(path.relative_to(ROOT) for path in (ROOT / "tlctx/_core").rglob("*.py"))
    return [path for path in (*core, *PUBLIC) if path != CHOICE]


def module_name(file: str) -> str:
    """The name under which it is imported."""
    return ".".join(Path(file).with_suffix("").parts).removesuffix(".__init__")


def mutants_of(file: Path) -> list[Mutant]:
    """All mutants of the file that change what runs, in the order of its lines."""
    source = (ROOT / file).read_text()
    outlines, tree = {None, outline(source)}, ast.parse(source)
    changes = []
    for name, place, new in mutate(source):
        if (changed := outline(new)) not in outlines:
            outlines.add(changed)
            changes.append((place, name, new))
    changes.sort(key=lambda change: change[0])  # stable, so that two of an operator in one place keep their order
    seen: Counter[str] = Counter()
    made = []
    for (line, _), name, new in changes:
        what = "\n".join((file.as_posix(), name, _qualified_name(tree, line), source.splitlines()[line - 1].strip()))
        seen[what] += 1
        id_ = hashlib.sha256(f"{what}\n{seen[what]}".encode()).hexdigest()[:12]
        lines, body = _reach(tree, line)
        made.append(Mutant(id_, file.as_posix(), line, name, new, _diff(source, new), lines, body))
    return made


def _diff(old: str, new: str) -> str:
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=2)
    return "\n".join(list(lines)[2:])


def _spans(node: ast.AST, line: int) -> bool:
    first = min((each.lineno for each in getattr(node, "decorator_list", ())), default=getattr(node, "lineno", 0))
    return first <= line <= (getattr(node, "end_lineno", 0) or 0)


def _qualified_name(tree: ast.Module, line: int) -> str:
    around = [node for node in ast.walk(tree) if isinstance(node, DEFINITIONS) and _spans(node, line)]
    return ".".join(node.name for node in sorted(around, key=lambda node: node.lineno))


def _reach(tree: ast.Module, line: int) -> tuple[frozenset[int], frozenset[int]]:
    """The lines of the innermost statement, of its head if it has a body, and the lines of a definition's body."""
    kinds = (ast.stmt, ast.excepthandler)
    around = [node for node in ast.walk(tree) if isinstance(node, kinds) and _spans(node, line)]
    statement = max(around, key=lambda node: node.lineno, default=None)
    if statement is None:
        return frozenset({line}), frozenset()
    first = min(line, statement.lineno)
    last = statement.end_lineno or line
    body = getattr(statement, "body", None)
    if body is None:
        return frozenset(range(first, last + 1)), frozenset()
    if line >= body[0].lineno:  # its `else` or `finally`: whoever comes by any line of it
        return frozenset(range(first, last + 1)), frozenset()
    inner = frozenset(range(body[0].lineno, last + 1)) if isinstance(statement, DEFINITIONS) else frozenset()
    return frozenset(range(first, body[0].lineno)) | {first}, inner
