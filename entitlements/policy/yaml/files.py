"""Reads the files at a path into one tree; problems are reported, not raised."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from entitlements.policy.errors import InvalidValue
from entitlements.policy.report import Report
from entitlements.policy.size_limits import MAX_BYTES, MAX_FILES, Budget
from entitlements.policy.yaml.merge import merge_trees
from entitlements.policy.yaml.reader import read_text
from entitlements.policy.yaml.tree import Branch, Location

SUFFIXES: Final = (".yaml", ".yml")

_OTHER_PATH = "give the path of a policy file, or of a folder of them"


def read_files(path: str | os.PathLike[str], report: Report) -> Branch:
    """Return the tree of the file, or of all YAML files of the folder, at *path*."""
    name = os.fsdecode(path)
    trees, budget = [], Budget()
    for file in _files(name, report):
        report.add_file(file)
        text = _text(file, report, budget)
        tree = None if text is None else read_text(text, file, report, budget)
        trees += [] if tree is None else [tree]
        if budget.exhausted:
            break
    return merge_trees(trees, Location(name), report)


def _files(name: str, report: Report) -> list[str]:
    """Return the files to read, sorted by name; hidden files are ignored."""
    report.add_file(name)
    try:
        if not stat.S_ISDIR(Path(name).stat().st_mode):
            return [name]
        with os.scandir(name) as entries:
            found = sorted(each.name for each in entries if each.name.endswith(SUFFIXES) and not each.is_dir())
    except (OSError, ValueError) as error:
        _exclude(name, error, report)
        return []
    if len(found) > MAX_FILES:
        cure = f"give the path of a folder with at most {MAX_FILES}"
        _exclude(name, InvalidValue(f"the folder has {len(found)} files", cure), report)
        return []
    files = [os.path.join(name, each) for each in found if not each.startswith(".")]  # noqa: PTH118 - as the user wrote it
    if not files:
        _exclude(name, InvalidValue("the folder has no *.yaml or *.yml file", _OTHER_PATH), report)
    return files


def _text(file: str, report: Report, budget: Budget) -> str | None:
    try:
        data = _data(file)
        budget.take_bytes(len(data))
        return _decoded(data)
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        problem = f"byte {error.object[error.start]:#04x} is not UTF-8"
        _exclude(file, InvalidValue(problem, "save the file as UTF-8"), report, line)
    except (OSError, ValueError) as error:
        _exclude(file, error, report)
    return None


def _data(file: str) -> bytes:
    """Return the bytes of a regular file of at most 1 MiB; a pipe or a device may be endless."""
    if not stat.S_ISREG(Path(file).stat().st_mode):
        raise InvalidValue("is not a regular file", "give the path of a policy file or folder")
    with Path(file).open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise InvalidValue("the file is larger than 1 MiB", "split it into several files of one folder")
    return data


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InvalidValue("the file is UTF-16", "save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise InvalidValue("the file begins with a byte order mark", "save it as UTF-8 without BOM")
    if b"\0" in data:
        raise InvalidValue("the file holds NUL bytes, so it is no text", "give the path of a YAML file")
    return data.decode("utf-8")


def _exclude(name: str, error: OSError | ValueError, report: Report, line: int = 0) -> None:
    """Report that a file is not in the tree."""
    if not isinstance(error, InvalidValue):
        reason = getattr(error, "strerror", None) or str(error)
        error = InvalidValue(f"cannot be read: {reason}", _OTHER_PATH)
    report.exclude((), error, location=Location(name, line))
