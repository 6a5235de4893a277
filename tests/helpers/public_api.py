"""
The listing of the public API: the modules that docs/public-modules.md names as public, with their names.

`make api` writes it to tests/project/public_api.txt. It is the same under every supported Python: annotations are
those of the source text, and attributes that a class inherits from elsewhere are left out.
"""

import ast
import enum
import inspect
import re
import typing
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import django_site  # noqa: F401 - the REST framework can be imported only in a project

ROOT = Path(__file__).resolve().parents[2]
LISTING = ROOT / "tests" / "project" / "public_api.txt"
SPECIAL = {"__aenter__", "__await__", "__bool__", "__call__", "__enter__", "__init__"}
"""Special methods that users rely on."""


def public_section() -> str:
    """Return the section *Public modules* of docs/public-modules.md."""
    page = (ROOT / "docs" / "public-modules.md").read_text(encoding="utf-8")
    return page.partition("\n## Public modules\n")[2].partition("\n## ")[0]


def public_modules() -> list[str]:
    """Return the modules of the section's table."""
    return re.findall(r"^\| `([\w.]+)` \|", public_section(), re.MULTILINE)


def listing() -> str:
    """Return a paragraph for each public module; a class or a function stands where it is first exported."""
    first: dict[object, str] = {}
    return "\n".join(f"{name}\n" + "".join(_module(import_module(name), first)) for name in public_modules())


def _module(module: ModuleType, first: dict[object, str]) -> Iterator[str]:
    definitions = _definitions(module)
    exported = getattr(module, "__all__", None) or [name for name in definitions if not name.startswith("_")]
    for name in sorted(exported):
        value, source = getattr(module, name), definitions.get(name)
        if isinstance(value, typing.TypeVar | typing.ParamSpec):
            continue
        if source is not None or not (inspect.isclass(value) or inspect.isfunction(value)):
            yield f"  {name}\n" if source is None or name.isupper() else f"  {name} = {ast.unparse(source)}\n"
        elif value in first:
            yield f"  {name}: see {first[value]}\n"
        else:
            first[value] = module.__name__
            yield from _class(name, value) if inspect.isclass(value) else [f"  {_function(name, value)}\n"]


def _definitions(module: ModuleType) -> dict[str, ast.expr | None]:
    """Return the names that a module defines at its top level; those of assignments with their values."""
    found: dict[str, ast.expr | None] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = None
            case ast.Assign([ast.Name(name)], value) | ast.AnnAssign(ast.Name(name), _, value):
                found[name] = value
    return found


def _class(name: str, cls: type) -> Iterator[str]:
    yield f"  class {name}\n"
    bases = [base.__name__ for base in cls.__bases__ if base is not object]
    if bases:
        yield f"    is a {', '.join(bases)}\n"
    if issubclass(cls, enum.Enum):
        yield from (f"    {member} = {each.value!r}\n" for member, each in cls.__members__.items())
    yield from (f"    {text}\n" for _, text in sorted(public_attributes(cls).items()))


def public_attributes(cls: type) -> dict[str, str]:
    """Return the public attributes of a class and of its instances by name, each as it is listed."""
    owners = [owner for owner in reversed(inspect.getmro(cls)) if owner.__module__.split(".")[0] == "entitlements"]
    found = {}
    for owner in owners:
        found |= {name: name for name in _assigned(owner)}
        found |= {name: f"{name}: {_text(each)}" for name, each in inspect.get_annotations(owner).items()}
    for each in inspect.classify_class_attrs(cls):
        if each.defining_class in owners and (each.kind != "data" or each.name not in found):
            found[each.name] = _attribute(each)
    hidden = {*cls.__members__, "__init__", "__call__"} if issubclass(cls, enum.Enum) else set()
    if getattr(cls, "_is_protocol", False) or f"`{cls.__name__}`" in _without_constructor():
        hidden = {"__init__"}
    names = {name for name in found if name in SPECIAL or not name.startswith("_")} - hidden
    return {name: found[name] for name in names}


def _without_constructor() -> str:
    """Return the sentence of the section about classes of which users construct no object."""
    return public_section().partition("Constructors are public, except")[2].partition("\n")[0]


def _assigned(cls: type) -> list[str]:
    """Return the attributes that the constructor of a class sets."""
    init = vars(cls).get("__init__")
    if not inspect.isfunction(init) or init.__code__.co_filename.startswith("<"):  # made by `dataclass`
        return []
    return re.findall(r"\bself\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(init))


def _attribute(each: inspect.Attribute) -> str:
    if each.kind == "property":
        return f"{each.name}: {_text(inspect.signature(each.object.fget).return_annotation)}"
    method = getattr(each.object, "__func__", each.object)
    if not inspect.isfunction(method):
        return each.name
    kind = "" if each.kind == "method" else f"{each.kind.partition(' ')[0]} "
    return kind + _function(each.name, method, is_bound=each.kind != "static method")


def _function(name: str, function: object, *, is_bound: bool = False) -> str:
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_text(each.annotation), default=_default(each.default))
        for each in signature.parameters.values()
    ]
    shown = signature.replace(parameters=parameters[is_bound:], return_annotation=_text(signature.return_annotation))
    return f"{'async ' if any(map(inspect.iscoroutinefunction, (function, inspect.unwrap(function)))) else ''}{name}{shown}"


class _Text(str):
    """A text that a signature shows without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def _text(value: object) -> object:
    """Return an annotation as its source has it; *empty* for none."""
    text = value.__forward_arg__ if isinstance(value, typing.ForwardRef) else value
    return _Text(text) if isinstance(text, str) else text


def _default(value: object) -> object:
    """Return a default value; a function by its name, without its address."""
    return _Text(value.__name__) if inspect.isfunction(value) else value


if __name__ == "__main__":
    LISTING.write_text(listing(), encoding="utf-8")
