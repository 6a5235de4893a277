"""Mutants of Python and Lua sources: one small change each, as a slip of the hand would make."""

from __future__ import annotations

import ast
import re
from copy import deepcopy
from dataclasses import dataclass

COMPARISONS = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
ARITHMETIC = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.Div: ast.Mult,
}  # fmt: skip
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any"}


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
        source: The whole changed source.
    """

    file: str
    place: str
    before: str
    after: str
    line: int
    source: str

    @property
    def name(self):
        """Name that stays when lines move."""
        return f"{self.file} {self.place}: {self.before} -> {self.after}"


# --- Python -------------------------------------------------------------------------------------------------------


def python_mutants(file, source):
    """Return every mutant of a Python source."""
    tree = ast.parse(source)
    found = []
    for place, path, node in _sites(tree, (), "<module>"):
        for changed in _changes(node):
            mutated = deepcopy(tree)
            _put(mutated, path, changed)
            text = ast.unparse(ast.fix_missing_locations(mutated))
            before, after = _short(_statement(tree, path)), _short(_statement(mutated, path))
            found.append(Mutant(file, place, before, after, node.lineno, text))
    return found


def _sites(node, path, place):
    """Yield the nodes that may change, with the path from the root; annotations, docstrings and asserts may not."""
    if isinstance(node, ast.Assert | ast.Import | ast.ImportFrom) or _is_for_types(node):
        return
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        place = node.name
    if isinstance(node, ast.expr | ast.stmt):
        yield place, path, node
    for name, value in ast.iter_fields(node):
        if name in {
            "annotation",
            "returns",
            "decorator_list",
            "type_params",
            "bases",
            "keywords_of_class",
            "slice_types",
        }:
            continue
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for at, child in children:
            if isinstance(child, ast.AST) and not _is_text(child):
                yield from _sites(child, (*path, (name, at)), place)


def _is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


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
        case ast.UnaryOp(op=ast.Not()):
            yield node.operand
        case ast.UnaryOp(op=ast.USub()):
            yield node.operand
        case ast.Constant(value=bool()):
            yield ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield ast.Constant(node.value + 1)
        case ast.IfExp():
            yield ast.IfExp(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
        case ast.If() | ast.While():
            changed = deepcopy(node)
            changed.test = ast.UnaryOp(ast.Not(), node.test)
            yield changed
        case ast.Call(func=ast.Name(id=name)) if name in NAMES:
            yield ast.Call(ast.Name(NAMES[name], ast.Load()), node.args, node.keywords)
        case ast.Return(value=ast.expr()) if not isinstance(node.value, ast.Constant):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.AugAssign() if type(node.op) in ARITHMETIC:
            yield ast.AugAssign(node.target, ARITHMETIC[type(node.op)](), node.value)


def _statement(tree, path):
    """Return the innermost statement on the way to a node."""
    node = found = tree
    for name, at in path:
        node = getattr(node, name) if at is None else getattr(node, name)[at]
        found = node if isinstance(node, ast.stmt) else found
    return found


def _put(tree, path, changed):
    for name, at in path[:-1]:
        tree = getattr(tree, name) if at is None else getattr(tree, name)[at]
    name, at = path[-1]
    if at is None:
        setattr(tree, name, changed)
    else:
        getattr(tree, name)[at] = changed


def _short(node):
    """Return the text of a statement, of a compound one its first line."""
    return ast.unparse(node).splitlines()[0][:160]


# --- Lua ----------------------------------------------------------------------------------------------------------

LUA = (
    (r"(?<![<>=~])<(?!=)", "<="), (r"<=", "<"), (r"(?<![<>=~-])>(?![=>])", ">="), (r">=", ">"), (r"==", "~="), (r"~=", "=="),
    (r"\band\b", "or"), (r"\bor\b", "and"), (r"\bnot ", ""), (r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "),
    (r"\bmath\.min\b", "math.max"), (r"\bmath\.max\b", "math.min"), (r"\btrue\b", "false"), (r"\bfalse\b", "true"),
    (r"(?<![\w.'])1(?![\w.'])", "2"), (r"(?<![\w.'])0(?![\w.'])", "1"), (r"(?<![\w.'])61(?![\w.'])", "60"),
    (r"(?<=\n)  +(?:put|redis\.call|flush|sweep|make_permanent|keep_until|drop_operation|deny|write_\w+)\([^\n]*\)(?=\n)", ""),
)  # fmt: skip


def lua_mutants(file, source):
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
            found.append(Mutant(file, place, text.strip() or hit[0].strip(), now.strip(), line, changed))
    return found
