"""Styles of lines: on a terminal headings are bold, gains green, losses red."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from rich.text import Text

if TYPE_CHECKING:
    from entitlements.tiering.triggers import Action

HEADING = "bold"
GAIN, LOSS, CHANGE, PROBLEM = "green", "red", "yellow", "bold red"

_SIGNS = {"+": GAIN, "-": LOSS, "~": CHANGE, "!": PROBLEM}
_ACTIONS = {"upgrade": GAIN, "downgrade": CHANGE, "close": LOSS}


def styled(lines: Iterable[str], style_of: Callable[[str], str]) -> Iterator[str | Text]:
    """Yield each line in the style that *style_of* returns for it; the empty style leaves it as it is."""
    for line in lines:
        style = style_of(line)
        yield Text(line, style) if style else line


def headed(lines: Iterable[str | Text], style: str = HEADING) -> Iterator[str | Text]:
    """Yield the lines, of which the first has a style."""
    for at, line in enumerate(lines):
        yield line if at else Text(str(line), style)


def style_by_sign(line: str) -> str:
    """Return the style of a line that begins with a sign such as `+`; one that is not indented is a heading."""
    return _SIGNS.get(line.lstrip()[:1], "" if line[:1] in {"", " "} else HEADING)


def style_of_action(action: Action) -> str:
    """Return the style of what is recommended for an account."""
    return _ACTIONS.get(action.value, "")
