"""
One YAML text as a tree, built from the parser's events.

What a policy does not need is refused: anchors, aliases, tags, merge keys, several
documents, keys that are not text. Working on events keeps the depth and the number of
nodes in our hands, and nothing here recurses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
)
from ruamel.yaml.reader import ReaderError

from entitlements.policy.errors import Misread, shown
from entitlements.policy.report import Report
from entitlements.policy.sizes import Budget
from entitlements.policy.yaml.merge import united
from entitlements.policy.yaml.scalars import checked_text, typed_scalar
from entitlements.policy.yaml.tree import MAX_DEPTH, Branch, Items, Leaf, Node, Path, Place


def read_text(text: str, file: str, report: Report, budget: Budget) -> Branch | None:
    """Return the tree of a file's *text*; None, and why in the report, if it has none."""
    composer = _Composer(file, report, budget)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            composer.take(event)
    except Exception as error:  # noqa: BLE001 - whatever a text makes the parser raise is the text's problem
        what, line = _reason(error, text)
        report.gap((), what, place=Place(file, line or composer.line))
        return None
    return composer.whole()


def _reason(error: Exception, text: str) -> tuple[Misread, int]:
    """Return what stopped the reading, and its line if the error knows one."""
    if isinstance(error, Misread):
        return error, 0
    cure = "correct what stands there; quote texts that hold any of : # [ ] { } & * ! | > % @"
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        what = ", ".join(str(part) for part in (error.context, error.problem) if part)
        return Misread(f"not YAML: {what}", cure), mark.line + 1 if mark else 0
    if isinstance(error, ReaderError):
        return Misread(
            f"the character U+{_code(error):04X} is not allowed in YAML",
            "remove it, or write it as an escape in double quotes",
        ), text.count("\n", 0, error.position) + 1
    return Misread(f"not YAML: the parser gave up ({type(error).__name__})", cure), 0


def _code(error: ReaderError) -> int:
    return ord(error.character) if isinstance(error.character, str) else int(error.character)


def _cut(word: object) -> str:
    text = str(word)
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(slots=True)
class _Open:
    """A mapping or list whose end has not come yet."""

    place: Place
    path: Path
    mapping: bool
    nodes: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    key: str | None = None
    key_place: Place | None = None
    again: set[str] = field(default_factory=set)
    dropped: bool = False

    @property
    def awaits_key(self) -> bool:
        return self.mapping and self.key is None

    @property
    def next(self) -> Path:
        """The path of the node that comes next."""
        if self.mapping:
            return self.path if self.key is None else (*self.path, self.key)
        return (*self.path, len(self.nodes))

    def add(self, node: Node, report: Report) -> None:
        """Take a list's next item, or the value of the key that waits for one."""
        if not self.mapping:
            self.nodes.append(node)
            return
        assert self.key is not None
        assert self.key_place is not None
        if self.key in self.again and not self.dropped:
            report.complete = report.complete and isinstance(node, Leaf)
        elif self.key in self.entries and not self.dropped:
            self.again.add(self.key)  # uniting the same key again and again would copy it as often
            self.entries[self.key] = united(self.entries[self.key], node, self.next, report)
        elif not self.dropped:
            self.entries[self.key], self.keys[self.key] = node, self.key_place
        self.key, self.dropped = None, False

    def closed(self) -> Branch | Items:
        if self.mapping:
            return Branch(self.entries, self.keys, self.place)
        return Items(tuple(self.nodes), self.place)


class _Composer:
    """Takes one event after the other and builds the tree."""

    def __init__(self, file: str, report: Report, budget: Budget) -> None:
        self.line = 1
        self._file = file
        self._report = report
        self._open: list[_Open] = []
        self._root: Node | None = None
        self._budget = budget
        self._documents = 0

    def take(self, event: Event) -> None:
        """Take the next event."""
        self.line = event.start_mark.line + 1 if event.start_mark else self.line
        if isinstance(event, DocumentStartEvent):
            self._start_document(event)
        elif isinstance(event, CollectionEndEvent):
            self._put(self._open.pop().closed())
        elif isinstance(event, NodeEvent):
            self._budget.take_node()
            self._take_node(event)

    def whole(self) -> Branch | None:
        """Return the tree, if the document is a mapping."""
        if isinstance(self._root, Branch):
            return self._root
        if self._root is None or (isinstance(self._root, Leaf) and self._root.value is None):
            what = Misread("the file is empty", "write at least one section, such as `tiers:`, or remove the file")
        else:
            what = Misread("the file is not a mapping of sections", "begin with sections such as `tiers:`")
        self._report.gap((), what, place=Place(self._file))
        return None

    @property
    def _here(self) -> Place:
        return Place(self._file, self.line)

    @property
    def _path(self) -> Path:
        return self._open[-1].next if self._open else ()

    def _start_document(self, event: DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise Misread("a second document begins here", "keep one document per file, without another ---")
        if event.version not in {None, (1, 2)} or event.tags:
            what = Misread("a directive changes how the file is read", "remove the line that begins with %")
            self._report.gap((), what, place=Place(self._file, 1))

    def _take_node(self, event: NodeEvent) -> None:
        if isinstance(event, AliasEvent):
            self._drop_alias(event)
            return
        self._refuse_marks(event)
        if self._open and self._open[-1].awaits_key:
            self._take_key(event)
        elif isinstance(event, CollectionStartEvent):
            self._start(event)
        elif isinstance(event, ScalarEvent):
            self._put(self._leaf(event))

    def _start(self, event: CollectionStartEvent) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise Misread(f"nested deeper than {MAX_DEPTH}", "write it flatter")
        self._open.append(_Open(self._here, self._path, isinstance(event, MappingStartEvent)))

    def _take_key(self, event: NodeEvent) -> None:
        if not isinstance(event, ScalarEvent):
            raise Misread("a key is a list or a mapping", "write keys as plain words")
        opened = self._open[-1]
        opened.key, opened.key_place = event.value, self._here
        if event.value == "<<" and not event.style:
            self._drop(Misread("`<<` merges another mapping", "write it out, or let a tier say `extends:`"))
        elif event.value in opened.entries:
            first = opened.keys[event.value].line
            what = Misread(f"{shown(event.value)} is already written in line {first}", "keep one of the two")
            self._report.error(self._path, what, place=self._here)

    def _leaf(self, event: ScalarEvent) -> Leaf:
        place = self._here
        if not event.value and not event.style and self._open and self._open[-1].mapping:
            place = self._open[-1].key_place or place  # what is not there stands where its key does
        try:
            value = checked_text(event.value) if event.style else typed_scalar(event.value)
        except Misread as what:
            self._drop(what)
            value = None
        return Leaf(value, place, quoted=bool(event.style))

    def _refuse_marks(self, event: NodeEvent) -> None:
        """Refuse an anchor or a tag, and read on as if it were not there."""
        if event.anchor:
            what = Misread(f"&{_cut(event.anchor)} is an anchor", "write the value out wherever it is needed")
            self._report.error(self._path, what, place=self._here)
        if tag := getattr(event, "tag", None):
            what = Misread(f"{_cut(tag)} is a tag", "remove it; the type is the one written")
            self._report.error(self._path, what, place=self._here)

    def _drop_alias(self, event: AliasEvent) -> None:
        if not self._open or self._open[-1].awaits_key:
            raise Misread(f"*{_cut(event.anchor)} is an alias", "write the key out")
        if not self._open[-1].dropped:
            self._drop(Misread(f"*{_cut(event.anchor)} is an alias", "write the value out"))
        self._put(Leaf(None, self._here))

    def _drop(self, what: Misread) -> None:
        """Report *what*, and leave out the value that comes next."""
        self._report.gap(self._path, what, place=self._here)
        if self._open:
            self._open[-1].dropped = True

    def _put(self, node: Node) -> None:
        if self._open and self._open[-1].dropped and not isinstance(node, Leaf):
            self._report.complete = False
        if not self._open:
            self._root = node
        elif not (self._open[-1].dropped and not self._open[-1].mapping):
            self._open[-1].add(node, self._report)
        else:
            self._open[-1].dropped = False
