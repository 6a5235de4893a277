"""The events that hooks receive, from their classes."""

from __future__ import annotations

import typing
from dataclasses import fields

from entitlements.model import events
from tools.docs.reference.markdown import arguments, first_line, table

INTRO = """# Events

A hook is a callable that gets one frozen event per decision and per change. It cannot change a decision.
Hooks are passed as `hooks=` to an enforcer. [Observing](../telemetry.md) shows the hooks for Prometheus and OpenTelemetry; all classes are in `entitlements.model.events`.

"""


def pages() -> dict[str, str]:
    """Return the page of events: an index, then each event with its fields."""
    kinds = typing.get_args(events.Event)
    index = table(
        ("event", "meaning"), ((f"[`{each.__name__}`](#{each.__name__.lower()})", first_line(each)) for each in kinds)
    )
    return {"events.md": INTRO + index + "".join(map(_event, kinds))}


def _event(kind: type) -> str:
    texts = arguments(kind)
    head = f"\n## {kind.__name__}\n\n{first_line(kind)}\n"
    rows = [(f"`{each.name}`", f"`{each.type}`", texts.get(each.name, "")) for each in fields(kind)]
    if not rows:
        return head
    if not texts:
        return f"{head}\n{table(('field', 'type'), [row[:2] for row in rows])}"
    return f"{head}\n{table(('field', 'type', 'meaning'), rows)}"
