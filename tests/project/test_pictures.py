"""docs/pictures/: each picture is what is drawn now, loads nothing, and reads in light and in dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from tools.docs.pictures import bars, console, recordings, windows
from tools.docs.pictures.__main__ import DRAWN, FOLDER

OF_COMMANDS = {"explain.html", *recordings.COMMANDS}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in OF_COMMANDS else name for name in DRAWN],
)  # slow: a whole command each
def test_a_picture_is_what_is_drawn_now(name):
    assert DRAWN[name]() == (FOLDER / name).read_text(encoding="utf-8"), "run `make pictures`"


@pytest.mark.parametrize("name", [*DRAWN, "doctor.svg"])
def test_a_picture_loads_nothing_from_elsewhere(name):
    text = (FOLDER / name).read_text(encoding="utf-8")

    assert [] == re.findall(r"(?:href|src)=|url\((?!#)|@import", text)


def test_the_page_of_the_console_shows_each_picture_of_it():
    page = (FOLDER.parent / "console.md").read_text(encoding="utf-8")
    shown = re.findall(r"!\[.+\]\(pictures/(console-\w+)\.webp\)", page)

    assert sorted(console.SHOTS) == sorted(shown)
    assert all((FOLDER / f"{name}.webp").read_bytes()[8:12] == b"WEBP" for name in shown)


@pytest.mark.parametrize("name", ["windows.svg", "flagship.svg", "any-window.svg"])
def test_no_text_of_a_picture_stands_beyond_its_edge(name):
    """Thirteen pixels of a text are at most seven wide on average."""
    root = ET.parse(FOLDER / name).getroot()  # noqa: S314 - our own file
    wide = float(root.get("viewBox").split()[2])
    texts = [each for each in root.iter("{http://www.w3.org/2000/svg}text") if each.get("text-anchor") is None]

    assert [] == [each.text for each in texts if float(each.get("x")) + 7 * len(each.text) > wide]


def test_the_windows_hold_what_the_picture_says_of_each_algorithm():
    passed = {
        law: [at for at, yes in zip(windows.REQUESTS, windows.admitted(law), strict=True) if yes]
        for law in windows.LAWS
    }
    most = {law: max(windows.held(times, at) for at in times) for law, times in passed.items()}

    assert most["sliding"] == windows.LIMIT
    assert windows.LIMIT < most["token-bucket"] <= most["fixed"] == 2 * windows.LIMIT


def test_the_chart_of_windows_shows_the_most_that_each_limiter_admitted():
    assert "limit 100" in bars.any_window()
