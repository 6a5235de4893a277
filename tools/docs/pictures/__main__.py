"""
The pictures of docs/pictures/: `make pictures` writes them.

    python -m tools.docs.pictures
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools.docs.pictures import bars, console, explained, recordings, windows

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "pictures"
DRAWN: dict[str, Callable[[], str]] = {
    "windows.svg": windows.drawn,
    "flagship.svg": bars.flagship,
    "any-window.svg": bars.any_window,
    "explain.html": explained.drawn,
    **{name: partial(recordings.recorded, name) for name in recordings.COMMANDS},
}
"""Pictures that are the same whenever they are drawn; a test holds them equal."""

if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, draw in {**DRAWN, "doctor.svg": recordings.doctor}.items():
        (FOLDER / name).write_text(draw(), encoding="utf-8")
    console.main()
