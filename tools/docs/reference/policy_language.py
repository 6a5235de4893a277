"""The policy language, from the pydantic models that read it and the JSON Schema that is made of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from entitlements.model.names import NAME
from entitlements.policy import schema_models, schema_tiering
from entitlements.policy.quantities import DURATION
from entitlements.policy.schema import schema_text
from entitlements.policy.schema_fields import Shape
from tools.docs.reference.markdown import table

SCHEMA = json.loads(schema_text())
MODELS: dict[str, type[Shape]] = {
    name: model
    for module in (schema_models, schema_tiering)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, Shape) and name in {*SCHEMA["$defs"], "Document"}
}

SECTIONS = {
    "Document": ("The document", ""),
    "Head": ("`policy`", "policy: {version: 4, unknown_account: free, currency: EUR, time_zone: Europe/Berlin}"),
    "RateShape": ("A rate in `limits`", "limits: {api: {kind: rate, algorithm: token-bucket, burst: 20}}"),
    "QuotaShape": ("A quota in `limits`", "limits: {leads: {kind: quota, unit: lead, period: month}}"),
    "AllocationShape": ("An allocation in `limits`", "limits: {seats: {kind: allocation, unit: seat}}"),
    "TierShape": (
        "A tier in `tiers`",
        "tiers: {pro: {rank: 2, extends: free, features: [sso], limits: {api: 100 per hour, leads: 5000, seats: unlimited}}}",
    ),
    "TrialShape": ("`trial` of a tier", "tiers: {trial: {extends: pro, trial: {of: 14 days, then: free}}}"),
    "AddOnShape": (
        "An add-on in `add_ons`",
        "add_ons: {extra-seats: {limits: {seats: 5}, price: 500 per year, at_most: 10}}",
    ),
    "RouteShape": (
        "A rule in `routes`",
        "routes: [{path: '/v1/leads', methods: [POST], requires: [sso], consumes: {api: 1, leads: 1}}]",
    ),
    "AssignmentShape": ("`assignment`", ""),
    "CriterionShape": (
        "A criterion in `criteria`",
        "criteria: {revenue: {kind: amount, attributes: [arr], missing: 0}}",
    ),
    "RuleShape": ("A rule in `rules`", "rules: [{tier: enterprise, when: {revenue: {from: 50000}}}]"),
    "Condition": ("A condition in `when`", "when: {any: [{revenue: {from: 50000}}, {employees: {above: 1000}}]}"),
    "Test": ("A test of a criterion", ""),
    "ServicesShape": ("`services`", ""),
    "ServiceShape": (
        "A service in `catalogue`",
        "catalogue: {training: {about: One hour with a trainer., cost: 120, times: yearly}}",
    ),
    "SegmentationShape": ("A segmentation in `segmentations`", ""),
    "CutShape": ("A cut in `cuts`", "cuts: [{tier: enterprise, below: 80}, {tier: free}]"),
}
"""Title and example of each definition, in the order of the page."""

KINDS = {"amount": "an amount, such as `5000`, `100 per hour`, `10 GB`, `unlimited` or `not-included`"}
INTRO = """# Policy language

The keys of a policy file, or of the files of a folder, which are read as one document.
[policies/README.md](../../policies/README.md) explains how to write one. `entitlements schema` writes the JSON Schema of this page for editors, and `entitlements validate` reports every problem with file, line and cure.

A *name* is letters, digits, `.`, `_` and `-`. A *duration* is `14 days`, `50 ms` or `PT2H`.
"""


def pages() -> dict[str, str]:
    """Return the page of the policy language."""
    missing = {*SCHEMA["$defs"], "Document"} - {*SECTIONS, "Value"} - _enumerations()
    if missing:
        raise ValueError(
            f"definitions without a section on the page: {', '.join(sorted(missing))}; name them in SECTIONS"
        )
    return {"policy-language.md": INTRO + "".join(text for name in SECTIONS for text in _definition(name))}


def _enumerations() -> set[str]:
    return {name for name, node in SCHEMA["$defs"].items() if "enum" in node}


def _definition(name: str) -> Iterator[str]:
    node = SCHEMA if name == "Document" else SCHEMA["$defs"][name]
    title, example = SECTIONS[name]
    yield f"\n## {title}\n\n{node['description']}\n"
    if example:
        yield f"\n```yaml\n{example}\n```\n"
    if name == "Test":
        node = node["anyOf"][2]
    keys = (
        [field.alias or key for key, field in MODELS[name].model_fields.items()]
        if name in MODELS
        else list(node["properties"])
    )
    rows = [(f"`{key}`", _type(node["properties"][key]), _default(node, key), _about(node, key)) for key in keys]
    head = ("key", "holds", "default", "meaning")
    if not any(row[3] for row in rows):
        rows, head = [row[:2] for row in rows], head[:2]
    elif not any(row[2] for row in rows):
        rows, head = [(row[0], row[1], row[3]) for row in rows], ("key", "holds", "meaning")
    yield f"\n{table(head, rows)}"


def _about(node: dict[str, Any], key: str) -> str:
    return str(node["properties"][key].get("description", "The kind of the limit." if key == "kind" else ""))


def _default(node: dict[str, Any], key: str) -> str:
    field = node["properties"][key]
    if key in node.get("required", ()):
        return "required"
    return f"`{json.dumps(field['default']).strip(chr(34))}`" if "default" in field else ""


def _type(node: dict[str, Any]) -> str:
    """Return the type of a field in words."""
    if "$ref" in node:
        name = node["$ref"].rpartition("/")[2]
        if name in _enumerations():
            return _type(SCHEMA["$defs"][name])
        return "any value" if name == "Value" else f"[{_link_text(name)}](#{_anchor(SECTIONS[name][0])})"
    if "enum" in node:
        return " or ".join(f"`{each}`" for each in node["enum"])
    if "const" in node:
        return f"`{node['const']}`"
    if "oneOf" in node:
        return " or ".join(map(_type, node["oneOf"]))
    if "anyOf" in node:
        return _size(node) or " or ".join(map(_type, node["anyOf"]))
    if node.get("type") == "array":
        return f"list of {_plural(_type(node['items']))}"
    if "patternProperties" in node:
        return f"mapping of names to {_plural(_type(next(iter(node['patternProperties'].values()))))}"
    if node.get("type") == "object":
        return "mapping of keys to values"
    return _scalar(node)


def _scalar(node: dict[str, Any]) -> str:
    kind = node["type"]
    if isinstance(kind, list):
        return " or ".join(
            {"string": "text", "boolean": "`true`, `false`", "integer": "number"}.get(each, each) for each in kind
        )
    if kind == "string":
        pattern = node.get("pattern", "")
        return {DURATION: "duration", f"^{NAME.pattern}$": "name"}.get(pattern, "text")
    if kind == "boolean":
        return "`true` or `false`"
    return "number" if "minimum" not in node else f"number from {node['minimum']}"


def _size(node: dict[str, Any]) -> str:
    """Return the words for the size of a limit, or for a change of it; nothing for another choice."""
    texts = json.dumps(node)
    if '"overage"' not in texts:
        return ""
    overage = "or `{included: 5000, overage: allow}`"
    return f"{KINDS['amount']}, {overage}{', or `{sets: 500}`' if 'sets' in texts else ''}"


def _plural(kind: str) -> str:
    return re.sub(r"^(name|text|duration|number|list|mapping)\b", r"\1s", kind)


def _link_text(name: str) -> str:
    return {"Condition": "condition", "Test": "test", "Head": "settings", "AddOnShape": "add-on"}.get(
        name, name.removesuffix("Shape").lower()
    )


def _anchor(title: str) -> str:
    return title.replace("`", "").lower().replace(" ", "-")
