"""
Reads one YAML text into a tree, from the parser's events.

Refuses the parts of YAML that a policy does not need: anchors, aliases, tags, merge keys,
several documents, keys that are not text. Events allow a limit on depth and on the number
of nodes; nothing here recurses.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ruamel.yaml import YAML, events
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.reader import ReaderError

from entitlements.model.names import shown
from entitlements.policy.errors import InvalidValue
from entitlements.policy.report import Report
from entitlements.policy.size_limits import Budget
from entitlements.policy.yaml.merge import combine
from entitlements.policy.yaml.scalars import checked_text, typed_scalar
from entitlements.policy.yaml.tree import MAX_DEPTH, Branch, Items, Leaf, Location, Node, Path


def read_text(text: str, file: str, report: Report, budget: Budget) -> Branch | None:
    """Return the tree of a file's *text*; None if it is not valid, which is reported."""
    composer = _Composer(file, report, budget)
    try:
        for event in YAML(typ="safe", pure=True).parse(text):
            composer.take(event)
    except Exception as error:  # noqa: BLE001 - any error of the parser is reported as a problem of the text
        problem, line = _reason(error, text)
        report.exclude((), problem, location=Location(file, line or composer.line))
        return None
    return composer.tree()


def _reason(error: Exception, text: str) -> tuple[InvalidValue, int]:
    """Return the problem that an exception stands for, and its line or 0."""
    if isinstance(error, InvalidValue):
        return error, 0
    cure = "correct what stands there; quote texts that hold any of : # [ ] { } & * ! | > % @"
    if isinstance(error, MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        if mark and _is_indentation(str(error.problem), text[mark.index - mark.column : mark.index + 1]):
            cure = "indent with blanks, all keys of a mapping equally"
        what = ", ".join(str(part) for part in (error.context, error.problem) if part)
        return InvalidValue(f"not YAML: {what}", cure), mark.line + 1 if mark else 0
    if isinstance(error, ReaderError):
        return InvalidValue(
            f"the character U+{_code(error):04X} is not allowed in YAML",
            "remove it, or write it as an escape in double quotes",
        ), text.count("\n", 0, error.position) + 1
    return InvalidValue(f"not YAML: the parser gave up ({type(error).__name__})", cure), 0


def _is_indentation(problem: str, line: str) -> bool:
    """Return True if *problem* is an indentation; *line* ends with the character at which the parser stopped."""
    before, at = line[:-1], line[-1:]
    if problem.startswith("mapping values"):
        return ":" not in before  # the first key of its line, where a text goes on
    is_outside = problem.startswith(("expected <block end>", "expected '<document start>'")) and at not in "[]{},"
    return at == "\t" or (is_outside and not before.strip())


def _code(error: ReaderError) -> int:
    return ord(error.character) if isinstance(error.character, str) else int(error.character)


def _short(word: object) -> str:
    text = str(word)
    return text if len(text) <= 60 else f"{text[:60]}…"


@dataclass(slots=True)
class _OpenNode:
    """A mapping or list whose end event has not been read yet."""

    location: Location
    path: Path
    mapping: bool
    key_location: Location
    nodes: list[Node] = field(default_factory=list)
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Location] = field(default_factory=dict)
    key: str | None = None
    duplicates: set[str] = field(default_factory=set)
    skip_next: bool = False

    @property
    def awaits_key(self) -> bool:
        return self.mapping and self.key is None

    @property
    def next(self) -> Path:
        """The path of the next node; of the mapping itself while it awaits a key."""
        if self.awaits_key:
            return self.path
        return (*self.path, len(self.nodes) if self.key is None else self.key)

    def add(self, node: Node, report: Report) -> None:
        """Add the next item of a list, or the value of the current key; leave it out if it is to be skipped."""
        if self.skip_next or self.key in self.duplicates:
            report.complete = report.complete and isinstance(node, Leaf)
        elif self.key is None:
            self.nodes.append(node)
        elif self.key in self.entries:
            self.duplicates.add(self.key)  # combining a key many times would copy its nodes each time
            self.entries[self.key] = combine(self.entries[self.key], node, self.next, report)
        else:
            self.entries[self.key], self.keys[self.key] = node, self.key_location
        self.key, self.skip_next = None, False

    def closed(self) -> Branch | Items:
        if self.mapping:
            return Branch(self.entries, self.keys, self.location)
        return Items(tuple(self.nodes), self.location)


class _Composer:
    """Builds the tree from the parser's events."""

    def __init__(self, file: str, report: Report, budget: Budget) -> None:
        self.line = 1
        self._file = file
        self._report = report
        self._open: list[_OpenNode] = []
        self._root: Node | None = None
        self._budget = budget
        self._documents = 0

    def take(self, event: events.Event) -> None:
        """Process the next event."""
        self.line = event.start_mark.line + 1 if event.start_mark else self.line
        if isinstance(event, events.DocumentStartEvent):
            self._start_document(event)
        elif isinstance(event, events.CollectionEndEvent):
            self._put(self._open.pop().closed())
        elif isinstance(event, events.NodeEvent):
            self._budget.take_node()
            self._take_node(event)

    def tree(self) -> Branch | None:
        """Return the tree; None if the document is not a mapping, which is reported."""
        if isinstance(self._root, Branch):
            return self._root
        if self._root is None or (isinstance(self._root, Leaf) and self._root.value is None):
            cure = "write at least one section, such as `tiers:`, or remove the file"
            error = InvalidValue("the file is empty", cure)
        else:
            error = InvalidValue("the file is not a mapping of sections", "begin with sections such as `tiers:`")
        self._report.exclude((), error, location=Location(self._file))
        return None

    @property
    def _here(self) -> Location:
        return Location(self._file, self.line)

    @property
    def _path(self) -> Path:
        return self._open[-1].next if self._open else ()

    def _start_document(self, event: events.DocumentStartEvent) -> None:
        self._documents += 1
        if self._documents > 1:
            raise InvalidValue("a second document begins here", "keep one document per file, without another ---")
        if event.version not in {None, (1, 2)} or event.tags:
            error = InvalidValue("a directive changes how the file is read", "remove the line that begins with %")
            self._report.exclude((), error, location=Location(self._file, 1))

    def _take_node(self, event: events.NodeEvent) -> None:
        if isinstance(event, events.AliasEvent):
            self._skip_alias(event)
            return
        self._check_properties(event)
        if self._open and self._open[-1].awaits_key:
            self._take_key(event)
        elif isinstance(event, events.CollectionStartEvent):
            self._start(event)
        elif isinstance(event, events.ScalarEvent):
            self._put(self._leaf(event))

    def _start(self, event: events.CollectionStartEvent) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise InvalidValue(f"nested deeper than {MAX_DEPTH}", "write it flatter")
        self._open.append(_OpenNode(self._here, self._path, isinstance(event, events.MappingStartEvent), self._here))

    def _take_key(self, event: events.NodeEvent) -> None:
        if not isinstance(event, events.ScalarEvent):
            raise InvalidValue("a key is a list or a mapping", "write keys as plain words")
        opened = self._open[-1]
        opened.key, opened.key_location = event.value, self._here
        if event.value == "<<" and not event.style:
            self._skip(InvalidValue("`<<` merges another mapping", "write it out, or let a tier say `extends:`"))
        elif event.value in opened.entries:
            first = opened.keys[event.value].line
            self._error(f"{shown(event.value)} is already written in line {first}", "keep one of the two")

    def _leaf(self, event: events.ScalarEvent) -> Leaf:
        location = self._here
        if not event.value and not event.style and self._open and self._open[-1].mapping:
            location = self._open[-1].key_location  # an empty value has the location of its key
        try:
            value = checked_text(event.value) if event.style else typed_scalar(event.value)
        except InvalidValue as error:
            self._skip(error)
            value = None
        return Leaf(value, location, quoted=bool(event.style))

    def _check_properties(self, event: events.NodeEvent) -> None:
        """Report an anchor or a tag; the node is read without it."""
        if event.anchor:
            self._error(f"&{_short(event.anchor)} is an anchor", "write the value out wherever it is needed")
        if tag := getattr(event, "tag", None):
            self._error(f"{_short(tag)} is a tag", "remove it; the type is the one written")

    def _skip_alias(self, event: events.AliasEvent) -> None:
        if not self._open or self._open[-1].awaits_key:
            raise InvalidValue(f"*{_short(event.anchor)} is an alias", "write the key out")
        if not self._open[-1].skip_next:
            self._skip(InvalidValue(f"*{_short(event.anchor)} is an alias", "write the value out"))
        self._put(Leaf(None, self._here))

    def _error(self, problem: str, cure: str) -> None:
        self._report.error(self._path, problem, cure, location=self._here)

    def _skip(self, error: InvalidValue) -> None:
        """Report *error*, and leave the next value out of the tree."""
        self._report.exclude(self._path, error, location=self._here)
        if self._open:
            self._open[-1].skip_next = True

    def _put(self, node: Node) -> None:
        if self._open:
            self._open[-1].add(node, self._report)
        else:
            self._root = node
