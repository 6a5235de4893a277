"""
Mutants of Python and Lua sources: one small change each, as a slip of the hand would make.

Texts do not change: docstrings, messages of exceptions and log lines, `repr`; nor do annotations, asserts, and what a
type checker alone reads.
"""

from __future__ import annotations

import ast
import re
from copy import copy
from dataclasses import dataclass, field
from types import CodeType

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
NEGATED = ast.Eq | ast.NotEq | ast.Is | ast.IsNot | ast.In | ast.NotIn
"""Comparisons of which the change above is the negation."""
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Div: ast.Mult,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}
UNCHANGED = {"annotation", "returns", "decorator_list", "type_params", "bases", "keywords"}
"""Fields of definitions that are not executed, or are read by tools."""
LOGS = {"_log", "_logger", "warnings"}
"""Names whose calls write a line for people."""


@dataclass(frozen=True)
class Mutant:
    """
    A changed source.

    Args:
        file: Path of the source, below the package.
        place: The function that is changed, or `<module>`.
        before: The expression or statement.
        after: What stands in its place.
        line: Its line.
        lines: The lines one of which runs before the change has an effect.
        is_at_import: Whether the change is outside the body of a function.
        source: The whole changed source, of Lua.
        change: Makes the changed syntax tree, of Python.
    """

    file: str
    place: str
    before: str
    after: str
    line: int
    lines: frozenset[int] = frozenset()
    is_at_import: bool = False
    source: str = field(default="", repr=False)
    change: Change | None = field(default=None, compare=False, repr=False)

    @property
    def name(self) -> str:
        """Name that stays when lines move."""
        return f"{self.file} {self.place}: {self.before} -> {self.after}"

    def code(self, filename: str) -> CodeType:
        """Return the compiled module; lines are those of the source."""
        return compile(self.change.tree(), filename, "exec", dont_inherit=True)


@dataclass(frozen=True)
class Change:
    """Another node at one path of a syntax tree."""

    root: ast.Module
    path: tuple[tuple[str, int | None], ...]
    node: ast.AST

    def tree(self) -> ast.Module:
        """Return a tree with the change; it shares the other nodes."""
        return _with(self.root, self.path, self.node)


# --- Python -------------------------------------------------------------------------------------------------------


def python_mutants(file: str, source: str) -> list[Mutant]:
    """Return every mutant of a Python source."""
    tree = ast.parse(source)
    found = []
    for place, path, node in _sites(tree, (), "<module>"):
        for changed in _changes(node):
            ast.fix_missing_locations(ast.copy_location(changed, node))
            change = Change(tree, path, changed)
            statement, mutated = _statement(tree, path), _statement(change.tree(), path)
            at_import = _is_at_import(tree, path)
            lines = frozenset(_users(tree, statement) if at_import else {statement.lineno, node.lineno})
            found.append(Mutant(file, place, _short(statement), _short(mutated), node.lineno, lines, at_import, change=change))  # fmt: skip
    return found


def _sites(node, path, place):
    """Yield the nodes that may change, with the path from the root."""
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom) or _is_for_types(node) or _is_for_people(node):
        return
    is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    if is_definition and not isinstance(node, ast.ClassDef):
        place = node.name
    if isinstance(node, ast.expr | ast.stmt):
        yield place, path, node
    for name, value in ast.iter_fields(node):
        if name in UNCHANGED and (is_definition or name == "annotation"):
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for at, child in children:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield from _sites(child, (*path, (name, at)), place)


def _is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _is_for_people(node):
    match node:
        case ast.FunctionDef(name="__repr__" | "__str__"):
            return True
        case ast.Raise(exc=ast.Call()):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name))):
            return name in LOGS
        case ast.keyword(arg="repr" | "slots" | "kw_only" | "frozen"):
            return True
    return False


def _is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))


def _changes(node):
    """Yield what may stand in place of a node."""
    match node:
        case ast.Compare(ops=[op, *rest]) if type(op) in COMPARISONS:
            yield ast.Compare(node.left, [COMPARISONS[type(op)](), *rest], node.comparators)
        case ast.BinOp() if type(node.op) in ARITHMETIC:
            yield ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right)
        case ast.BoolOp():
            yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.IfExp() if not _is_changed_to_its_negation(node.test):
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.If() | ast.While() if not _is_changed_to_its_negation(node.test):
            changed = copy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name], ast.Load()), node.args, node.keywords)
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()) if not _is_for_people(node.value):
            yield ast.Pass()
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def _is_changed_to_its_negation(test):
    """Return whether a change of the condition itself negates it: it would be the same mutant twice."""
    match test:
        case ast.UnaryOp(op=ast.Not()):
            return True
        case ast.Compare(ops=[op]):
            return isinstance(op, NEGATED)
    return False


def _is_at_import(tree, path):
    """Return whether a node is executed when the module is imported."""
    node = tree
    for name, at in path:
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return False
        node = getattr(node, name) if at is None else getattr(node, name)[at]
    return True


def _users(tree, statement):
    """Return the lines that read what a statement defines at import; every line of the module if none does."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return {each.lineno for each in statement.body}
    names = {each.id for each in ast.walk(statement) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
    every = [each for each in ast.walk(tree) if isinstance(each, ast.stmt) and not hasattr(each, "body")]
    uses = {each.lineno for each in ast.walk(tree) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load) and each.id in names}  # fmt: skip
    using = {each.lineno for each in every if any(each.lineno <= line <= each.end_lineno for line in uses)} | uses
    return using if statement in tree.body and using else {each.lineno for each in every}


def _statement(tree, path):
    """Return the innermost statement on the way to a node."""
    node = found = tree
    for name, at in path:
        node = getattr(node, name) if at is None else getattr(node, name)[at]
        found = node if isinstance(node, ast.stmt) else found
    return found


def _with(node, path, changed):
    """Return a node with another one at the end of a path."""
    if not path:
        return changed
    (name, at), *rest = path
    new, child = copy(node), getattr(node, name)
    if at is None:
        setattr(new, name, _with(child, rest, changed))
    else:
        setattr(new, name, [*child[:at], _with(child[at], rest, changed), *child[at + 1 :]])
    return new


def _short(node):
    """Return the text of a statement, of a compound one its first line."""
    if isinstance(
        node, ast.If | ast.While | ast.For | ast.With | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    ):
        node = copy(node)
        node.body, node.orelse = [ast.Pass()], []
        node.decorator_list = []
    return ast.unparse(node).splitlines()[0][:160]


# --- Lua ----------------------------------------------------------------------------------------------------------

LUA = (
    (r"(?<![<>=~])<(?!=)", "<="), (r"<=", "<"), (r"(?<![<>=~-])>(?![=>])", ">="), (r">=", ">"), (r"==", "~="), (r"~=", "=="),
    (r"\band\b", "or"), (r"\bor\b", "and"), (r"\bnot ", ""), (r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "),
    (r"\bmath\.min\b", "math.max"), (r"\bmath\.max\b", "math.min"), (r"\btrue\b", "false"), (r"\bfalse\b", "true"),
    (r"(?<![\w.'])1(?![\w.'])", "2"), (r"(?<![\w.'])0(?![\w.'])", "1"), (r"(?<![\w.'])61(?![\w.'])", "60"),
    (r"(?<=\n)  +(?:put|redis\.call|flush|sweep|make_permanent|keep_until|drop_operation|deny|write_\w+)\([^\n]*\)(?=\n)", ""),
)  # fmt: skip


def lua_mutants(file: str, source: str) -> list[Mutant]:
    """Return every mutant of a Lua source; comments and texts do not change."""
    found = []
    for pattern, after in LUA:
        for hit in re.finditer(pattern, source):
            line = source.count("\n", 0, hit.start()) + 1
            text = source.splitlines()[line - 1] if hit[0].strip() else ""
            head = source[: hit.start()].rpartition("\n")[2]
            if "--" in head or head.count("'") % 2:
                continue
            changed = source[: hit.start()] + after + source[hit.end() :]
            start = source.rfind("\n", 0, hit.start()) + 1
            now = changed[start : changed.find("\n", start)]
            place = (re.findall(r"function ([\w.]+)", source[:start]) or ["<main>"])[-1]
            found.append(Mutant(file, place, text.strip() or hit[0].strip(), now.strip(), line, source=changed))
    return found
