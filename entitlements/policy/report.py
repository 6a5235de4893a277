"""Collector of the problems of one policy, from all of its files."""

from __future__ import annotations

from entitlements.model.problem import Problem, Severity
from entitlements.policy.errors import InvalidValue, MissingValue
from entitlements.policy.yaml.tree import Branch, Items, Leaf, Location, Path, format_path, location_of, node_at


class Report:
    """
    Collects problems while a policy is read; one per load.

    Attributes:
        root: The tree in which a problem's path is looked up, once it is built.
        complete: Everything that was written is in the tree. If not, `MissingValue` errors and
            warnings are dropped: the missing name may be defined in the part left out.
        faulty: The paths of errors, and the section entries (`tiers.free`) that contain them.
    """

    def __init__(self) -> None:
        self.root: Branch | None = None
        self.complete = True
        self.faulty: set[Path] = set()
        self._files: dict[str, int] = {}
        self._problems: dict[Problem, None] = {}
        self._items: dict[Path, dict[str, int]] = {}

    def add_file(self, file: str) -> None:
        """Sort problems of *file* after those of the files added before."""
        self._files.setdefault(file, len(self._files))

    def error(self, path: Path, problem: str, cure: str, *, location: Location | None = None) -> None:
        """Report an error at *path*; give *location* if the path is not in the tree."""
        self.add(path, InvalidValue(problem, cure), location=location)

    def missing(self, path: Path, problem: str, cure: str) -> None:
        """Report a missing definition at *path*, if the tree is complete."""
        self.add(path, MissingValue(problem, cure))

    def warn(self, path: Path, problem: str, cure: str) -> None:
        """Report a warning at *path*, if the tree is complete."""
        if self.complete:
            self._record(path, InvalidValue(problem, cure), None, Severity.WARNING)

    def add(self, path: Path, error: ValueError, *, location: Location | None = None) -> None:
        """Report an error that was raised or returned for *path*."""
        if isinstance(error, InvalidValue):
            path = (*path, *error.path)
        self.faulty.update((path, path[:2]))
        if self.complete or not isinstance(error, MissingValue):
            self._record(path, error, location, Severity.ERROR)

    def exclude(self, path: Path, error: ValueError, *, location: Location) -> None:
        """Report an error for which a part of the files is left out of the tree."""
        self.complete = False
        self.add(path, error, location=location)

    def location(self, path: Path) -> Location:
        """Return the file and line of *path*."""
        return location_of(self.root, path) if self.root else Location("")

    def item(self, path: Path, text: str) -> Path:
        """Return the path of the first item *text* in the list at *path*, or *path* itself."""
        if path not in self._items:
            items = node_at(self.root, path) if self.root else None
            nodes = items.nodes if isinstance(items, Items) else ()
            texts = [node.value if isinstance(node, Leaf) else None for node in nodes]
            self._items[path] = {each: at for at, each in reversed(list(enumerate(texts))) if isinstance(each, str)}
        at = self._items[path].get(text)
        return path if at is None else (*path, at)

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All problems, in the order of files and lines."""
        return tuple(sorted(self._problems, key=lambda each: (self._files.get(each.file, -1), each.line)))

    @property
    def failed(self) -> bool:
        """True if any problem is an error."""
        return any(each.severity is Severity.ERROR for each in self._problems)

    def _record(self, path: Path, error: ValueError, location: Location | None, severity: Severity) -> None:
        at = location or self.location(path)
        problem, cure = (error.problem, error.cure) if isinstance(error, InvalidValue) else (str(error), "correct it")
        self._problems[Problem(at.file, at.line, format_path(path), problem, cure, severity)] = None
