"""From a path to the tree of all its files; nothing here raises."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from entitlements.policy.errors import Misread
from entitlements.policy.report import Report
from entitlements.policy.sizes import MAX_BYTES, MAX_FILES, Budget
from entitlements.policy.yaml.merge import merged
from entitlements.policy.yaml.reader import read_text
from entitlements.policy.yaml.tree import Branch, Place

SUFFIXES: Final = (".yaml", ".yml")


def read_files(path: str | os.PathLike[str], report: Report) -> Branch:
    """Return what the file, or the YAML files of the folder, at *path* say together."""
    name = os.fsdecode(path)
    trees, budget = [], Budget()
    for file in _files(name, report):
        report.reads(file)
        text = _text(file, report, budget)
        tree = None if text is None else read_text(text, file, report, budget)
        trees += [] if tree is None else [tree]
        if budget.spent:
            break
    return merged(trees, Place(name), report)


def _files(name: str, report: Report) -> list[str]:
    """Return the files to read, in the order of their names; hidden ones are not policies."""
    report.reads(name)
    try:
        if not stat.S_ISDIR(Path(name).stat().st_mode):
            return [name]
        with os.scandir(name) as entries:
            found = sorted(each.name for each in entries if each.name.endswith(SUFFIXES) and not each.is_dir())
    except (OSError, ValueError) as error:
        _unreadable(name, error, report)
        return []
    if len(found) > MAX_FILES:
        what = Misread(f"the folder has {len(found)} files", f"give the path of a folder with at most {MAX_FILES}")
        report.gap((), what, place=Place(name))
        return []
    files = [os.path.join(name, each) for each in found if not each.startswith(".")]  # noqa: PTH118 - as the user wrote it
    if not files:
        what = Misread(
            "the folder has no *.yaml or *.yml file", "give the path of a policy file, or of a folder of them"
        )
        report.gap((), what, place=Place(name))
    return files


def _text(file: str, report: Report, budget: Budget) -> str | None:
    try:
        data = _data(file)
        budget.take_bytes(len(data))
        return _decoded(data)
    except Misread as error:
        report.gap((), error, place=Place(file))
    except UnicodeDecodeError as error:
        no_text = Misread(f"byte {error.object[error.start]:#04x} is not UTF-8", "save the file as UTF-8")
        report.gap((), no_text, place=Place(file, error.object.count(b"\n", 0, error.start) + 1))
    except (OSError, ValueError) as error:
        _unreadable(file, error, report)
    return None


def _data(file: str) -> bytes:
    """Return the bytes of a regular file of bearable size; a pipe or a device may never end."""
    if not stat.S_ISREG(Path(file).stat().st_mode):
        raise Misread("is not a regular file", "give the path of a policy file or folder")
    with Path(file).open("rb") as opened:
        data = opened.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise Misread("the file is larger than 1 MiB", "split it into several files of one folder")
    return data


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Misread("the file is UTF-16", "save it as UTF-8")
    if data.startswith(b"\xef\xbb\xbf"):
        raise Misread("the file begins with a byte order mark", "save it as UTF-8 without BOM")
    if b"\0" in data:
        raise Misread("the file holds NUL bytes, so it is no text", "give the path of a YAML file")
    return data.decode("utf-8")


def _unreadable(name: str, error: Exception, report: Report) -> None:
    why = getattr(error, "strerror", None) or str(error)
    what = Misread(f"cannot be read: {why}", "give the path of a policy file, or of a folder of them")
    report.gap((), what, place=Place(name))
