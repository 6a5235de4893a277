"""`use` and the module-level `can`."""

from __future__ import annotations

import threading

import pytest
from trade import enforcer

from entitlements import NotLoaded, UnknownFeature, can, use


def test_use_sets_the_default_for_every_thread():
    """One `use` at start-up serves threads that were started before and after."""
    ent, _ = enforcer()
    answers = []

    with use(ent):
        thread = threading.Thread(target=lambda: answers.append(can("petra", "chat")))
        thread.start()
        thread.join()

    assert [True] == answers


def test_leaving_the_block_puts_the_former_default_back():
    """Nested defaults end in the order in which they began."""
    (first, _), (second, _) = enforcer({"a": "pro"}), enforcer({"a": "max"})

    with use(first):
        with use(second):
            assert can("a", "sso")
        assert not can("a", "sso")
    with pytest.raises(NotLoaded, match="use"):
        can("a", "sso")


def test_unknown_names_raise_here_too():
    """The module-level call is as strict as the method."""
    ent, _ = enforcer()

    with use(ent), pytest.raises(UnknownFeature, match="sso"):
        can("petra", "ss0")


def test_what_is_no_enforcer_or_decision_is_refused_at_once():
    """A slip is named where it is made, not at the next call."""
    ent, _ = enforcer()

    with pytest.raises(TypeError, match="'x' is not an Enforcer"):
        use("x")
    with pytest.raises(TypeError, match="'x' is not a Decision"):
        ent.refund("x")
