"""Every fenced block of the pages is checked: here, by a test that is named here, or by none, which its page says."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import jsonschema
import pytest
from packaging.requirements import Requirement
from ruamel.yaml import YAML
from snippets import ROOT, Snippet, snippets

from entitlements import EntitlementsError, Policy, PolicyError
from entitlements.policy_tests import read_tables
from entitlements.usage_files import read_usage
from tools.docs.pages import project_pages
from tools.docs.reference import __main__ as reference
from tools.docs.reference.policy_language import SCHEMA

SNIPPETS = snippets(project_pages())
MADE = {path.relative_to(ROOT).as_posix() for path in reference.pages()}
"""Pages that are made from the package; a test compares them with what is made now."""
MARK = re.compile(r"not run by the tests")
"""The words of a page that has a block which cannot run here; they go on to say what was checked instead."""
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]

ELSEWHERE = {
    ("README.md", "make demo"): "project/test_package.py",
    ("docs/architecture.md", "__main__"): "project/test_architecture.py",
    ("docs/frameworks.md", "pip install"): "examples/test_frameworks_page.py",
    ("docs/how-to/deploy.md", "python examples/deploy/run.py"): "examples/test_deploy.py",
    ("docs/ledger.md", "$ entitlements ledger drift"): "ledger/test_transcript.py",
    ("docs/operating-redis.md", "ACL SETUSER"): "stores/test_operating_redis.py",
    ("docs/start/README.md", "HTTP/1.1 200"): "examples/test_frameworks_page.py",
    ("docs/telemetry.md", "entitlements.decisions"): "integrations/test_opentelemetry.py",
    ("docs/testing.md", "AssertionError"): "testing/test_pytest_plugin.py",
    ("docs/testing.md", "curl -d"): "cli/test_serve.py",
    ("docs/types.md", "enforcer = names.typed"): "typing/names.py",
    ("docs/why-refused.md", "the answer is"): "project/test_why_refused.py",
}
"""Blocks that a test of its own runs or compares, by page and the words that they begin with."""
RECORDED = ("benchmarks/README.md", "benchmarks/exactness.md")
"""Pages whose blocks of text are what a benchmark printed on the machine that the page names."""
NOT_HERE = {"docker", "gh", "git", "kubectl", "pre-commit"}
"""Programs that are not run here."""
SERVED = {"curl", "flask", "gunicorn", "uvicorn"}
"""Programs that tests run in other words: on a free port, and with a client of their own."""
SERVED_BY = {
    "docs/start/README.md": "project/test_docs.py",
    "docs/frameworks.md": "examples/test_frameworks_page.py",
    "docs/how-to/deploy.md": "examples/test_deploy.py",
    "docs/testing.md": "cli/test_serve.py",
    "examples/billing_webhook/README.md": "examples/test_billing_webhook.py",
    "examples/deploy/README.md": "examples/test_deploy.py",
    "examples/leads_api/README.md": "examples/test_leads_api.py",
    "examples/llm_gateway/README.md": "examples/test_llm_gateway.py",
}


TABLED = """\
policy: {version: 1}
features: {sso: Single sign-on}
levels: {integrations: [none, standard]}
limits: {leads: {kind: quota}, api: {kind: rate}, seats: {kind: allocation}}
tiers:
  free: {rank: 1, limits: {leads: 100, api: not-included, seats: 1}, values: {support: {reply: 4 hours}}}
  pro: {rank: 2, features: [sso], levels: {integrations: standard}, limits: {leads: unlimited, api: 1000 per hour, seats: 5}}
"""
"""A policy with the names of the example of tables."""


def yaml_of(text: str) -> object:
    return YAML(typ="safe", pure=True).load(text)


# -- one check for each language; each yields what is wrong ----------------------------------------------------------


def wrong_python(snippet: Snippet, folder: Path) -> Iterator[str]:
    """`test_docs.py` runs every block that stands at the margin."""
    if snippet.is_indented:
        yield "is indented: test_docs.py runs only blocks at the margin"


def wrong_py(snippet: Snippet, folder: Path) -> Iterator[str]:
    """Python that cannot run here."""
    ast.parse(snippet.text)
    if not MARK.search((ROOT / snippet.page).read_text(encoding="utf-8")):
        yield "`py` is for code that cannot run here: say on the page that it is not run by the tests, and what was checked"


def wrong_yaml(snippet: Snippet, folder: Path) -> Iterator[str]:
    """A policy, a part of one next to policies/minimal.yaml, a node of the reference, or a table of tests."""
    if snippet.first == "# a table of tests":
        (folder / "answers.yaml").write_text(snippet.text, encoding="utf-8")
        if not read_tables(folder / "answers.yaml", Policy.parse(yaml_of(TABLED)), 0):
            yield "has no tables"
        return
    data = yaml_of(snippet.text)
    if data is None:  # a comment for editors
        schema = snippet.first.partition("$schema=")[2]
        if not schema or not (ROOT / snippet.page).parent.joinpath(schema).resolve().exists():
            yield "is empty, and names no schema"
    elif snippet.page == "docs/reference/policy-language.md":
        if not any(map(is_of_schema, [data, *nodes(data)])):
            yield "is nothing of the schema"
    else:
        yield from wrong_policy(snippet.text, data, folder)


def wrong_policy(text: str, data: dict, folder: Path) -> Iterator[str]:
    """A policy is whole by itself, with a tier where it has none, or next to one of the project's policies."""
    (folder / "part.yaml").write_text(text, encoding="utf-8")
    problems = []
    for neighbour in (None, "minimal.yaml", "customer-tiers/"):
        place = folder / str(neighbour).rstrip("/")
        if neighbour is None:
            whole = {"policy": {"version": 1}, "tiers": {"one": {"limits": sizes(data)}}} | data
            whole["tiers"] = {name: {"rank": at} | tier for at, (name, tier) in enumerate(whole["tiers"].items(), 1)}
            place.mkdir()
            YAML(typ="safe", pure=True).dump(whole, place / "whole.yaml")
        else:
            source = ROOT / "policies" / neighbour
            if source.is_dir():
                shutil.copytree(source, place, ignore=shutil.ignore_patterns("tests"))
            else:
                place.mkdir()
                shutil.copy(source, place)
            (place / "part.yaml").write_text(text, encoding="utf-8")
        try:
            warnings = Policy.load(place).warnings
        except PolicyError as error:
            warnings = [error]
        if not warnings:
            return
        problems += map(str, warnings)
    yield from problems


def sizes(data: dict) -> dict[str, str | int]:
    """Return a size for each limit that a part of a policy defines."""
    return {name: "1000 per hour" if kind["kind"] == "rate" else 1000 for name, kind in data.get("limits", {}).items()}


def nodes(data: object) -> Iterator[object]:
    """Yield every node below a node."""
    for each in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        yield each
        yield from nodes(each)


def is_of_schema(data: object) -> bool:
    """Return whether a node is a whole document, or one of the definitions of the schema that hold keys."""
    own = {name: {**SCHEMA, **node} for name, node in SCHEMA["$defs"].items() if "properties" in node}
    return any(jsonschema.Draft202012Validator(each).is_valid(data) for each in (SCHEMA, *own.values()))


def wrong_shell(snippet: Snippet, folder: Path) -> Iterator[str]:
    """Commands of the package run in a test below; others are parsed, or belong to a test that serves the example."""
    for program, *words in snippet.commands:
        if program in {"pip", "pip3"}:
            yield from wrong_requirements([each for each in words[1:] if not each.startswith("-")])
        elif program in SERVED or (program == "python" and words[:1] in (["main.py"], ["examples/deploy/run.py"])):
            if not (ROOT / "tests" / SERVED_BY.get(snippet.page, "no test")).exists():
                yield f"{program}: name the test that serves it in SERVED_BY"
        elif program in NOT_HERE:
            if not MARK.search((ROOT / snippet.page).read_text(encoding="utf-8")):
                yield f"{program} cannot run here: say on the page that it is not run by the tests, and what was checked"
        elif program == ".venv/bin/python":
            yield from wrong_module(words)
        elif program not in {"entitlements", "make", "cd", ".", "python3", "export"}:
            yield f"{program} is checked by nothing"


def wrong_requirements(words: list[str]) -> Iterator[str]:
    """Extras are those of the project, and other libraries are among those that the tests use."""
    for each in map(Requirement, (word.replace(".[", "entitlements[") for word in words)):
        if each.name == "entitlements":
            yield from (f"no extra {extra}" for extra in each.extras - set(EXTRAS))
        else:
            version(each.name)


def wrong_module(words: list[str]) -> Iterator[str]:
    """`python -m module` and `python folder` are there, and know their options; the values of options are not tried."""
    name = words[1] if words[0] == "-m" else words[0]
    options = {word for word in words[2:] if word.startswith("--")}
    if name == "pytest":
        yield from (f"no {word}" for word in words[2:] if word.startswith("tests/") and not (ROOT / word).exists())
        return
    command = [sys.executable, *words[:2], "--help"] if words[0] == "-m" else [sys.executable, name, "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    if told.returncode or not all(option in told.stdout for option in options):
        yield f"{' '.join(words)}: {told.stderr or 'no such option'}"


def wrong_toml(snippet: Snippet, folder: Path) -> Iterator[str]:
    """Settings of the pytest plugin."""
    plugin = (ROOT / "entitlements" / "pytest_plugin.py").read_text(encoding="utf-8")
    settings = tomllib.loads(snippet.text)["tool"]["pytest"]["ini_options"]
    yield from (f"the plugin does not read {name}" for name in settings if f'"{name}"' not in plugin)


def wrong_csv(snippet: Snippet, folder: Path) -> Iterator[str]:
    """Usage by month."""
    (folder / "usage.csv").write_text(snippet.text, encoding="utf-8")
    if not read_usage(str(folder / "usage.csv"), Policy.load(ROOT / "policies" / "customer-tiers")).months:
        yield "has no months"


def wrong_text(snippet: Snippet, folder: Path) -> Iterator[str]:
    """Output, or a drawing: compared by a test of its own."""
    if snippet.page not in RECORDED:
        yield "is compared by no test: name one in ELSEWHERE, or show it in a language that is checked"


CHECKS = {
    "python": wrong_python, "py": wrong_py, "yaml": wrong_yaml, "sh": wrong_shell, "bash": wrong_shell,
    "toml": wrong_toml, "csv": wrong_csv, "text": wrong_text,
}  # fmt: skip


def is_checked_elsewhere(snippet: Snippet) -> bool:
    return (snippet.page in MADE and snippet.language in {"console", "http"}) or any(
        snippet.page == page and snippet.text.startswith(words) for page, words in ELSEWHERE
    )


@pytest.mark.parametrize("snippet", [each for each in SNIPPETS if not is_checked_elsewhere(each)], ids=str)
def test_a_block_of_a_page_is_checked(snippet, tmp_path):
    assert snippet.language in CHECKS, "a language without a check: add one to CHECKS"
    assert [] == list(CHECKS[snippet.language](snippet, tmp_path))


def test_every_test_that_checks_a_block_exists_and_has_its_block():
    unknown = [name for name in {*ELSEWHERE.values(), *SERVED_BY.values()} if not (ROOT / "tests" / name).exists()]
    gone = [key for key in ELSEWHERE if not any(s.page == key[0] and s.text.startswith(key[1]) for s in SNIPPETS)]

    assert ([], []) == (unknown, gone)


@pytest.mark.parametrize(
    ("page", "language", "text"),
    [
        ("docs/README.md", "yaml", "limits: {leads: {kind: qota}}\n"),
        ("docs/README.md", "sh", "pip install 'entitlements[nothing]'\n"),
        ("docs/README.md", "sh", "docker run entitlements\n"),
        ("docs/README.md", "text", "output that no test compares\n"),
        ("docs/README.md", "py", "import stigg\n"),
        ("docs/README.md", "csv", "no account\n1\n"),
    ],
)
def test_a_block_that_is_wrong_or_unmarked_is_found(page, language, text, tmp_path):
    try:
        found = list(CHECKS[language](Snippet(page, 1, language, text), tmp_path))
    except (
        ValueError,
        LookupError,
        EntitlementsError,
    ) as error:  # a policy, a requirement or a file that cannot be read
        found = [str(error)]

    assert found


LOADED = re.compile(r'\.load\(\s*"(policies/[^"]+)"')


def test_a_page_of_the_site_links_to_the_policies_that_its_examples_load():
    """A reader of the site has no checkout in which they stand."""
    loaded = {
        (each.page, policy)
        for each in SNIPPETS
        if each.language == "python" and each.page.startswith("docs/")
        for policy in LOADED.findall(each.text)
    }

    def links(page: str, policy: str) -> bool:
        depth = "../" * page.count("/")
        return f"]({depth}{policy})" in (ROOT / page).read_text(encoding="utf-8")

    assert [] == sorted(each for each in loaded if not links(*each))
