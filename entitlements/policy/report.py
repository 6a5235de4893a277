"""The problems found so far: a policy's report is one list, of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entitlements.model.problem import Problem, Severity
from entitlements.policy.errors import Absent, Misread
from entitlements.policy.yaml.tree import Items, Leaf, Place, dotted, node_at, place_of

if TYPE_CHECKING:
    from entitlements.policy.yaml.tree import Branch, Path


class Report:
    """
    Takes problems while a policy is read; one per load.

    Attributes:
        root: The tree in which a problem's path is looked up, once there is one.
        complete: Nothing that was written has been left out of the tree. Where something
            has, a name that looks unknown may be defined in it, and what looks odd may not be.
        faulty: The paths of errors, and the entries of sections (`tiers.free`) that they are in.
    """

    def __init__(self) -> None:
        self.root: Branch | None = None
        self.complete = True
        self.faulty: set[Path] = set()
        self._files: dict[str, int] = {}
        self._problems: dict[Problem, None] = {}
        self._items: dict[Path, dict[str, int]] = {}

    def reads(self, file: str) -> None:
        """Note that problems of *file* come after those of the files before."""
        self._files.setdefault(file, len(self._files))

    def error(self, path: Path, what: ValueError, *, place: Place | None = None) -> None:
        """Take what is wrong at *path*; *place* where the path does not lead there."""
        self.faulty.update((path, path[:2]))
        if self.complete or not isinstance(what, Absent):
            self._take(path, what, place, Severity.ERROR)

    def warn(self, path: Path, what: ValueError, *, place: Place | None = None) -> None:
        """Take what is odd at *path*, unless it may only look so."""
        if self.complete:
            self._take(path, what, place, Severity.WARNING)

    def gap(self, path: Path, what: ValueError, *, place: Place) -> None:
        """Take what is wrong with something that is left out of the tree for it."""
        self.complete = False
        self.error(path, what, place=place)

    def where(self, path: Path) -> Place:
        """Return where *path* stands."""
        return place_of(self.root, path) if self.root else Place("")

    def item(self, path: Path, text: str) -> Path:
        """Return the path of the first item *text* in the list at *path*; *path* itself if there is none."""
        if path not in self._items:
            items = node_at(self.root, path) if self.root else None
            nodes = items.nodes if isinstance(items, Items) else ()
            texts = [node.value if isinstance(node, Leaf) else None for node in nodes]
            self._items[path] = {each: at for at, each in reversed(list(enumerate(texts))) if isinstance(each, str)}
        at = self._items[path].get(text)
        return path if at is None else (*path, at)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Every problem, in the order of the files and their lines."""
        return tuple(sorted(self._problems, key=lambda each: (self._files.get(each.file, -1), each.line)))

    @property
    def failed(self) -> bool:
        """Whether any problem is an error."""
        return any(each.severity is Severity.ERROR for each in self._problems)

    def _take(self, path: Path, what: ValueError, place: Place | None, severity: Severity) -> None:
        at = place or self.where(path)
        problem, cure = (what.problem, what.cure) if isinstance(what, Misread) else (str(what), "correct it")
        self._problems[Problem(at.file, at.line, dotted(path), problem, cure, severity)] = None
