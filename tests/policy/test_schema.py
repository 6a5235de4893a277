"""The JSON Schema that is checked in: current, valid, and correct for the policies of this repository."""

import json
import re
from importlib.resources import files
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from entitlements import Policy, PolicyError
from entitlements.policy.report import Report
from entitlements.policy.schema import schema_text
from entitlements.policy.schema_models import Document
from entitlements.policy.size_limits import Budget
from entitlements.policy.yaml.reader import read_text
from entitlements.policy.yaml.tree import to_data

ROOT = Path(__file__).resolve().parents[2]
CHECKED_IN = files("entitlements.policy") / "policy.schema.json"
SCHEMA = json.loads(CHECKED_IN.read_text(encoding="utf-8"))
POLICIES = sorted((ROOT / "policies").rglob("*.yaml"))


def parsed(text):
    """Return the YAML *text* as JSON data, as an editor sees it."""
    report = Report()
    tree = read_text(text, "policy.yaml", report, Budget())
    assert () == report.problems
    return json.loads(json.dumps(to_data(tree), default=float))


def error_paths(text):
    """Return the JSON paths of the schema's errors for *text*."""
    return sorted(error.json_path for error in Draft202012Validator(SCHEMA).iter_errors(parsed(text)))


def test_the_schema_that_is_checked_in_is_current():
    """After a change of the models run: entitlements schema > entitlements/policy/policy.schema.json."""
    assert schema_text() == CHECKED_IN.read_text(encoding="utf-8")


def test_the_schema_is_a_schema():
    """It is valid against the metaschema."""
    Draft202012Validator.check_schema(SCHEMA)


def test_there_are_four_policies():
    """Two files and two folders."""
    assert {"minimal.yaml", "photo-lab.yaml", "customer-tiers", "second-funnel"} == {
        file.relative_to(ROOT / "policies").parts[0] for file in POLICIES
    }


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_a_policy_fits_the_schema(file):
    """An editor finds no error in it, even if it is one file of several."""
    assert [] == error_paths(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "when", ['{agents: {">=": 5}}', "{agents: {}}", "{all: []}", "{}", "5", "{agents: {from: many}}", "{not: {a: {}}}"]
)
def test_an_editor_underlines_a_condition_that_is_not_in_the_language(when):
    assert error_paths(f"assignment: {{rules: [{{tier: low, when: {when}}}]}}")
    assert not error_paths("assignment: {rules: [{tier: low, when: {not: {any: [{agents: {from: 5}}, {new: true}]}}}]}")


def unique_lists(node, path=()):
    """Yield the paths of the lists that the schema allows no doubles in; `*` stands for any key or index."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        yield from () if name in {"Value", "Condition", "Test"} else unique_lists(SCHEMA["$defs"][name], path)
    if node.get("uniqueItems"):
        yield path
    for key, child in node.get("properties", {}).items():
        yield from unique_lists(child, (*path, key))
    for child in (*node.get("patternProperties", {}).values(), *([node["items"]] if "items" in node else [])):
        yield from unique_lists(child, (*path, "*"))


DOUBLES = {
    ("levels", "*"): {"levels": {"tools": ["none", "full", "full"]}},
    ("tiers", "*", "features"): {"tiers": {"free": {"rank": 1, "features": ["sso", "sso"]}}},
    ("tiers", "*", "aliases"): {"tiers": {"free": {"rank": 1, "aliases": ["a", "a"]}}},
    ("tiers", "*", "without"): {"tiers": {"free": {"rank": 1}, "pro": {"rank": 2, "without": ["sso", "sso"]}}},
    ("add_ons", "*", "features"): {"add_ons": {"more": {"features": ["sso", "sso"]}}},
    ("add_ons", "*", "tiers"): {"add_ons": {"more": {"features": ["sso"], "tiers": ["free", "free"]}}},
    ("add_ons", "*", "requires"): {"add_ons": {"more": {"features": ["sso"], "requires": ["base", "base"]}}},
    ("add_ons", "*", "excludes"): {"add_ons": {"more": {"features": ["sso"], "excludes": ["base", "base"]}}},
    ("routes", "*", "methods"): {"routes": [{"path": "/a", "methods": ["GET", "GET"]}]},
    ("routes", "*", "requires"): {"routes": [{"path": "/a", "requires": ["sso", "sso"]}]},
    ("assignment", "criteria", "*", "attributes"): {
        "assignment": {"criteria": {"arr": {"kind": "amount", "attributes": ["acv", "acv"]}}}
    },
}


def test_every_list_of_the_schema_without_doubles_is_tried():
    assert set(DOUBLES) == set(unique_lists(SCHEMA))


@pytest.mark.parametrize("path", DOUBLES, ids=".".join)
def test_a_double_is_an_error_for_the_editor_and_for_the_loader(path):
    mapping = {"policy": {"version": 1}, "features": {"sso": "Single sign-on"}, "tiers": {"free": {"rank": 1}}}
    mapping |= DOUBLES[path]

    with pytest.raises(PolicyError) as error:
        Policy.parse(mapping)

    assert [] != list(Draft202012Validator(SCHEMA).iter_errors(mapping))
    assert any("stands twice in the list" in each.problem for each in error.value.problems)


@pytest.mark.parametrize("file", POLICIES, ids=lambda file: file.stem)
def test_the_first_line_of_a_policy_leads_to_the_schema(file):
    """The path is relative to the file."""
    mark, _, where = file.read_text(encoding="utf-8").splitlines()[0].partition("=")

    assert "# yaml-language-server: $schema" == mark
    assert (ROOT / "entitlements/policy/policy.schema.json") == (file.parent / where).resolve()


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("tires: {}", "$"),
        ("policy: {version: true}", "$.policy.version"),
        ("policy: {currency: usd}", "$.policy.currency"),
        ("features: {two words: x}", "$.features"),
        ("features: {sso: ''}", "$.features.sso"),
        ("levels: {tools: [none]}", "$.levels.tools"),
        ("levels: {tools: [none, none]}", "$.levels.tools"),
        ("limits: {api: {unit: call}}", "$.limits.api"),
        ("limits: {api: {kind: quota, burst: 5}}", "$.limits.api"),
        ("limits: {api: {kind: rate, deadline: 50}}", "$.limits.api"),
        ("tiers: {free: {rank: -1}}", "$.tiers.free.rank"),
        ("tiers: {free: {limits: {api: -1}}}", "$.tiers.free.limits.api"),
        ("tiers: {free: {limits: {api: 1.5}}}", "$.tiers.free.limits.api"),
        ("tiers: {free: {features: sso}}", "$.tiers.free.features"),
        ("tiers: {free: {trial: {of: 14 days}}}", "$.tiers.free.trial"),
        ("tiers: {free: {trial: {of: soon, then: x}}}", "$.tiers.free.trial.of"),
        ("tiers: {free: {values: {support: }}}", "$.tiers.free.values.support"),
        ("add_ons: {more: {price: 5}}", "$.add_ons.more.price"),
        ("add_ons: {more: {rank: 5}}", "$.add_ons.more"),
    ],
)
def test_the_schema_finds_fault_where_the_check_does(text, where):
    """An editor finds all errors that one file shows."""
    assert [where] == error_paths(text)


def test_the_readme_lists_every_section_and_every_key_of_the_policy():
    text = (ROOT / "policies" / "README.md").read_text(encoding="utf-8")
    sections = text[text.index("## Sections") : text.index("## Tiers")]
    listed = re.findall(r"^[-|] `(\w+)` ", sections, re.MULTILINE)

    assert {*Document.model_fields, *Document.model_fields["policy"].annotation.model_fields} == {*listed}
