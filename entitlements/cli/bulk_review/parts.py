"""The finished parts of a run, in a folder next to the output; another run with the same files goes on with them."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from entitlements.cli.files import write_atomically

_SETTINGS = "settings.json"


class Parts:
    """
    The parts of one output.

    Args:
        folder: Of the parts.
    """

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def begin(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the settings of an earlier run with the same fingerprint, whose parts stay; else *settings*."""
        path = self._folder / _SETTINGS
        try:
            before = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError):
            before = {}
        if before.get("fingerprint") == settings["fingerprint"]:
            return dict(before)
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        write_atomically(str(path), [json.dumps(settings).encode()])
        return settings

    def workspace(self) -> Path:
        """Return an empty folder for files of the run; that of an interrupted run is emptied."""
        folder = self._folder / "usage"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return folder

    def has(self, number: int) -> bool:
        """Return True if a part is finished."""
        return self._report(number).exists()

    def write(
        self, number: int, rows: str, counts: Counter[tuple[str, str]], problems: Sequence[tuple[int, str]]
    ) -> None:
        """Write a part; it is finished with its report, which is written last."""
        write_atomically(str(self._rows(number)), [rows.encode()])
        report = {"counts": [[tier, action, count] for (tier, action), count in counts.items()], "problems": problems}
        write_atomically(str(self._report(number)), [json.dumps(report).encode()])

    def rows(self, count: int) -> Iterator[bytes]:
        """Yield the rows of each part."""
        for number in range(count):
            yield self._rows(number).read_bytes()

    def reports(self, count: int) -> Iterator[Mapping[str, Any]]:
        """Yield the counts and problems of each part."""
        for number in range(count):
            yield json.loads(self._report(number).read_text("utf-8"))

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _rows(self, number: int) -> Path:
        return self._folder / f"{number:06}.csv"

    def _report(self, number: int) -> Path:
        return self._folder / f"{number:06}.json"
