"""Every link, path, module, `make` target and command that pages, docstrings and messages name exists."""

from __future__ import annotations

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import django_site  # noqa: F401 - the REST framework can be imported only in a project
import pytest

from entitlements.cli import main
from entitlements.integrations.wsgi import RESERVATION_KEY

ROOT = Path(__file__).resolve().parents[2]
BUILT = {".venv", ".bootstrap", ".bench", ".hypothesis", "build", "dist"}
"""Folders that the project builds; nothing in them is its own."""

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^]]*\]\(([^)\s]+)\)|^\[[^]]+\]:\s*(\S+)|<img src=\"([^\"]+)\"", re.MULTILINE)
PATH = re.compile(r"(?:[\w.*-]+/)*[\w.*-]+\.(?:py|md|lua|ya?ml|csv|toml|json|svg|html|css|lock)|(?:[\w.-]+/)+")
MODULE = re.compile(r"\b(?:entitlements|benchmarks)(?:\.[A-Za-z_]\w*)+")
TARGET = re.compile(r"(?:^|[\s`])make ([a-z][a-z-]*)")
COMMAND = re.compile(r"(?:^|/)entitlements ([a-z]+(?: [a-z][a-z-]*)?)(.*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")

OF_USERS = {"try.py", "main.py", "policy.yaml", "export.csv", "old.csv", "tiered.csv", "portfolio.html", "state.lua"}
"""Files that a reader makes, or that are named as an example."""


def found(*suffixes: str) -> list[Path]:
    """Return the project's files with one of these suffixes."""
    return sorted(
        path
        for path in ROOT.rglob("*")
        if path.suffix in suffixes and path.is_file() and not BUILT & set(path.relative_to(ROOT).parts)
    )


PAGES = found(".md")
CODE = [
    path
    for path in found(".py")
    if path.relative_to(ROOT).parts[0] in {"entitlements", "examples", "benchmarks", "tools"}
]
LUA = found(".lua")


def prose(page: str) -> str:
    """Return a page with its code blocks blanked, so that lines keep their numbers."""
    return FENCE.sub(lambda block: "\n" * block[0].count("\n"), page)


def anchors(page: Path) -> set[str]:
    """Return the anchors that a host of repositories makes of the headings of a page."""
    seen: dict[str, int] = {}
    made = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", prose(page.read_text(encoding="utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        made.add(slug if slug not in seen else f"{slug}-{seen[slug]}")
        seen[slug] = seen.get(slug, 0) + 1
    return made


def broken_link(page: Path, target: str) -> bool:
    """Return whether a relative link leads nowhere."""
    if re.match(r"[a-z]+:", target):
        return False
    path, _, anchor = target.partition("#")
    file = (page.parent / path).resolve() if path else page
    return not file.exists() or bool(anchor and anchor not in anchors(file))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    links = [next(filter(None, each)) for each in LINK.findall(prose(page.read_text(encoding="utf-8")))]

    assert [] == [link for link in links if broken_link(page, link)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_no_line_of_more_than_400_characters(page):
    lines = page.read_text(encoding="utf-8").splitlines()

    assert [] == [(at, len(line)) for at, line in enumerate(lines, 1) if len(line) > 400]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_uses_the_words_of_the_field(page):
    everyday = r"\b(?:nobody|somebody|whoever|anew|beside|at ease)\b"

    assert [] == re.findall(everyday, prose(page.read_text(encoding="utf-8")))


# -- what stands in backticks --------------------------------------------------------------------------------------


def strings_of(path: Path) -> list[tuple[int, str]]:
    """Return the docstrings and other texts of a module, each with its line; `…` stands for a value in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            texts.append((node.lineno, "".join(map(str, parts))))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            texts.append((node.lineno, node.value))
    return texts


@cache
def references() -> list[tuple[Path, int, str]]:
    """Return everything that stands in backticks, with its file and line; of shell blocks, every line."""
    spans = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        spans += [(page, text.count("\n", 0, each.start()) + 1, each[1]) for each in SPAN.finditer(prose(text))]
        for block in FENCE.finditer(text):
            if block[1] == "sh":
                first = text.count("\n", 0, block.start(2)) + 1
                lines = enumerate(block[2].splitlines(), first)
                spans += [(page, at, line.partition("#")[0].strip()) for at, line in lines]
    for path in CODE:
        spans += [(path, line, each) for line, text in strings_of(path) for each in SPAN.findall(text)]
    return spans


def missing(pattern: re.Pattern[str], exists, *, whole: bool = False) -> list[str]:
    """Return `file:line: reference` for each match of *pattern* that does not exist."""
    wrong = []
    for path, line, span in references():
        matches = [each for each in [pattern.fullmatch(span)] if each] if whole else pattern.finditer(span)
        wrong += [f"{path.relative_to(ROOT)}:{line}: {each[0]}" for each in matches if not exists(path, each)]
    return wrong


def path_exists(source: Path, name: str) -> bool:
    """Return whether a path is below a folder that holds *source* or below the package, or is built or a mere pattern."""
    if name.partition("/")[0] in BUILT or name.startswith("*"):
        return True
    folders = [*source.parents[: len(source.relative_to(ROOT).parts)], ROOT / "entitlements"]
    return any(any(folder.glob(name.rstrip("/"))) for folder in folders)


def test_every_path_in_backticks_exists():
    def exists(source: Path, each: re.Match[str]) -> bool:
        return each[0] in OF_USERS or path_exists(source, each[0])

    assert [] == missing(PATH, exists, whole=True)


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_every_file_that_the_lua_names_exists(path):
    named = re.findall(r"[\w/]+\.(?:py|lua)\b", path.read_text(encoding="utf-8"))

    assert [] == [each for each in named if not path_exists(path, each)]


TRANSLATED = re.compile(r"^-- (\w+(?:\.\w+)*)(?=[:,;\n]| of rules).*\n(?:--.*\n)*(?:local )?function", re.MULTILINE)
"""A comment above a function that begins with the name of what the function translates."""


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_every_name_that_the_lua_translates_exists(path):
    lua = path.read_text(encoding="utf-8")
    places = {f"rules.{name}" for name in re.findall(r"rules/(\w+)\.py", lua)} | {"model.answers", "model.charge"}
    named = TRANSLATED.findall(lua) + re.findall(r"`([\w.]+)` of rules/", lua)

    assert [] == [each for each in named if not any(importable(f"entitlements.{place}.{each}") for place in places)]


@cache
def importable(name: str) -> bool:
    """Return whether a dotted name is a module, or something in one."""
    module, *rest = name.split(".")
    at = importlib.import_module(module)
    for word in rest:
        module = f"{module}.{word}"
        if hasattr(at, word):
            at = getattr(at, word)
            continue
        try:
            at = importlib.import_module(module)
        except ImportError:
            return False
    return True


def test_every_module_in_backticks_can_be_imported():
    def exists(source: Path, each: re.Match[str]) -> bool:
        return each[0] == RESERVATION_KEY or importable(each[0]) or path_exists(source, each[0])

    assert [] == missing(MODULE, exists)


def test_every_make_target_in_backticks_is_one_of_the_makefile():
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))

    assert [] == missing(TARGET, lambda _, each: each[1] in targets)


GROUPS = {"account", "base", "crm", "ledger"}
CORRECTIONS = (["set"], ["reset"], ["release"])
"""Subcommands of `usage`, which is a command without them."""


def test_every_command_in_backticks_has_a_help_page_with_its_options(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")

    @cache
    def help_of(*words: str) -> str | None:
        if main([*words, "--help"]):
            return None
        return capsys.readouterr().out

    def exists(_: Path, each: re.Match[str]) -> bool:
        words = each[1].split()
        text = help_of(*words[:2] if words[0] in GROUPS or words[1:2] in CORRECTIONS else words[:1])
        return text is not None and all(option in text for option in OPTION.findall(each[0]))

    assert [] == missing(COMMAND, exists, whole=True)


def test_every_log_line_of_the_page_of_symptoms_is_written_somewhere():
    page = (
        (ROOT / "docs" / "fault-symptoms.md").read_text(encoding="utf-8").partition("## What each fault looks like")[2]
    )
    quoted = [each for each in SPAN.findall(page.partition("\n## ")[0]) if len(each.split()) > 3]
    written = "\n".join(text for path in CODE for _, text in strings_of(path))
    pieces = [(each, piece.strip()) for each in quoted for piece in re.split(r"…|; |\b[\d,]+\b|\bN\b", each)]

    assert len(quoted) > 10
    assert [] == [(each, piece) for each, piece in pieces if piece not in written]
