"""Extras: optional libraries, whose import names the line that installs them, or the version that is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, requires, version

_FLOOR = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*[^;]*?>=\s*([\d.]+)[^;]*;.*extra == ['\"]([\w.-]+)['\"]")


@contextmanager
def extra(name: str, library: str, module: str) -> Iterator[None]:
    """
    Import the libraries of an extra in this block.

    Args:
        name: The extra, as in `pip install 'entitlements[name]'`.
        library: The library, for the message.
        module: The module that needs it.

    Raises:
        ModuleNotFoundError: If it is not installed.
        ImportError: If its version is below the floor of the extra.
    """
    line = f"pip install 'entitlements[{name}]'"
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{module} needs {library} ({error}): {line}", name=error.name) from None
    except ImportError as error:
        _check_floors(name, module, error)
        raise
    _check_floors(name, module, None)


def _check_floors(name: str, module: str, error: ImportError | None) -> None:
    """Raise `ImportError` if a library of an extra is older than the metadata of this package demands."""
    try:
        demanded = [match.groups() for each in requires("entitlements") or () if (match := _FLOOR.match(each))]
        found = [(library, floor, version(library)) for library, floor, extra in demanded if extra == name]
    except PackageNotFoundError:
        return
    for library, floor, installed in found:
        if _numbers(installed) < _numbers(floor):
            what = f"{module} needs {library} {floor} or newer, and {installed} is installed"
            raise ImportError(f"{what}: pip install --upgrade 'entitlements[{name}]'") from error


def _numbers(text: str) -> tuple[int, ...]:
    """Return the release of a version as numbers."""
    release = re.match(r"[\d.]+", text)
    return tuple(int(each) for each in release[0].strip(".").split(".")) if release else ()
