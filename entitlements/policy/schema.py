"""JSON Schema of policy files, for editors: generated from the models and checked in next to them."""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from types import ModuleType
from typing import Any

from entitlements.policy import schema_models, schema_tiering
from entitlements.policy.schema_fields import Shape
from entitlements.policy.schema_models import Document

_VALUE = {
    "anyOf": [
        {"type": ["boolean", "number", "string"]},
        {"type": "array", "items": {"$ref": "#/$defs/Value"}},
        {"type": "object", "additionalProperties": {"$ref": "#/$defs/Value"}},
    ]
}
_SCALAR = {"type": ["boolean", "number", "string"]}
_TEST = {
    "description": (
        "A value, a list of values, or bounds: from (at least), above, to (at most), below;"
        " {is: x}, {in: [x, y]} and {known: false} are the long forms."
    ),
    "anyOf": [
        _SCALAR,
        {"type": "array", "items": _SCALAR, "minItems": 1},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": False,
            "properties": {
                "is": _SCALAR,
                "in": {"type": "array", "items": _SCALAR, "minItems": 1},
                **{bound: {"type": "number"} for bound in ("from", "above", "to", "below")},
                "known": {"type": "boolean"},
            },
        },
    ],
}
_CONDITION = {
    "description": "Criteria and their tests; all of them must be true. all, any and not contain conditions.",
    "type": "object",
    "minProperties": 1,
    "properties": {
        **{word: {"type": "array", "items": {"$ref": "#/$defs/Condition"}, "minItems": 1} for word in ("all", "any")},
        "not": {"$ref": "#/$defs/Condition"},
    },
    "additionalProperties": {"$ref": "#/$defs/Test"},
}


def schema_text() -> str:
    """Return the JSON Schema of a policy file, the content of `policy.schema.json`."""
    schema = _simplified(_described(Document.model_json_schema()))
    schema["$defs"] |= {"Value": _VALUE, "Condition": _CONDITION, "Test": _TEST}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "entitlements policy"}
    return json.dumps(head | schema, indent=2, sort_keys=True) + "\n"


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON Schema with the docstrings of attributes as descriptions; importing the models reads no source."""
    texts = {key: text for module in (schema_models, schema_tiering) for key, text in _docstrings(module)}
    models: dict[str, type[Shape]] = vars(schema_models) | vars(schema_tiering)
    for title, node in (("Document", schema), *schema["$defs"].items()):
        if "properties" not in node:
            node.pop("description", None)  # the docstring of an Enum; the property has its own
            continue
        model = models[title]
        for name, field in model.model_fields.items():
            found = (texts[base.__name__, name] for base in model.__mro__ if (base.__name__, name) in texts)
            if text := next(found, None):
                node["properties"][field.alias or name]["description"] = text
    return schema


def _docstrings(module: ModuleType) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the docstring of each attribute of each class, by their names."""
    for each in ast.parse(inspect.getsource(module)).body:
        if isinstance(each, ast.ClassDef):
            for field, text in pairwise(each.body):
                if isinstance(text, ast.Expr) and isinstance(field, ast.AnnAssign):
                    yield (each.name, ast.unparse(field.target)), ast.literal_eval(text.value)


def _simplified(node: Any, *, names: bool = False) -> Any:
    """Return a JSON Schema without generated titles, empty defaults and null."""
    if isinstance(node, list):
        return [_simplified(item) for item in node]
    if not isinstance(node, dict):
        return node
    if "x-ref" in node:
        return {"$ref": f"#/$defs/{node['x-ref']}"}
    if names:
        return {name: _simplified(child) for name, child in node.items()}
    kept = {key: child for key, child in node.items() if not _is_noise(key, child)}
    simple = {
        key: _simplified(child, names=key in {"properties", "$defs", "patternProperties"})
        for key, child in kept.items()
    }
    return _without_null(simple) | ({"additionalProperties": False} if "patternProperties" in simple else {})


def _is_noise(key: str, child: Any) -> bool:
    """Return True for generated titles, discriminators, and defaults that are empty or mappings."""
    return key in {"title", "discriminator"} or (key == "default" and (child in ([], "") or isinstance(child, dict)))


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    """Return *node* without the null that pydantic adds for an optional key."""
    choices = [choice for choice in node.get("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == len(node.get("anyOf", ())):
        return node
    rest = {key: child for key, child in node.items() if key not in {"anyOf", "default"}}
    return rest | (choices[0] if len(choices) == 1 else {"anyOf": choices})
