"""A decision as one sentence: yes or no, the reason, and the remedy."""

from __future__ import annotations

from rich.text import Text

from entitlements.model.decision import Decision
from entitlements.model.entitlements import Entitlements
from entitlements.presentation.sentences import cure_text, reason_text


def decision_sentence(decision: Decision, entitlements: Entitlements) -> Text:
    """
    Return a decision about a feature or a limit as a sentence.

    Args:
        decision: The result of `decide`.
        entitlements: The snapshot that it was made from.
    """
    verdict = ("yes", "bold green") if decision.allowed else ("no", "bold red")
    cure = cure_text(decision)
    return Text.assemble(verdict, ": ", reason_text(decision, entitlements), f"; {cure}" if cure else "")
