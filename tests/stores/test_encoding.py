"""Encoding for a networked store: unique keys, compact calls, checked replies."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from injected_time import with_injected_time
from redis.crc import key_slot

from entitlements.errors import StoreError
from entitlements.model.charge import Charge, Part, Read, Recall, Release, SetUsage, Verb
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import UNLIMITED, Allocation, Quota, Rate
from entitlements.rules.periods import month_ends
from entitlements.stores.orders import deadline_of
from entitlements.stores.redis.decoding import decoder_of
from entitlements.stores.redis.encoding import encode_call
from entitlements.stores.redis.keys import account_key, check_namespace, encode_id, scope_key
from entitlements.stores.redis.scripts import CHARGE, COMMANDS, SCRIPTS

API = Rate("api", HOUR)
LEADS = Quota("leads")
AGENTS = Allocation("agents")
ids = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=256) | st.text(
    "a{}:%~1.-_Aé", min_size=1, max_size=70
)


@given(ids)
def test_an_id_in_a_key_is_made_of_safe_characters_and_is_short(id):
    assert re.fullmatch(r"(?:[A-Za-z0-9_.-]|%[0-9A-F]{2})+|~[0-9a-f]{64}", encode_id(id))
    assert len(encode_id(id)) <= 65


@given(ids, ids)
def test_different_ids_never_share_a_key(one, other):
    assert (one == other) == (encode_id(one) == encode_id(other))


@given(ids, ids, ids, ids)
def test_no_scope_of_one_account_is_a_key_of_another(one, other, scope, another):
    keys = {account_key("ent", one), account_key("ent", other), scope_key("ent", one, scope)}
    keys |= {scope_key("ent", other, another)}
    expected = len({one, other}) + len({(one, scope), (other, another)})
    assert expected == len(keys)


@given(ids, ids)
def test_all_keys_of_an_account_share_a_slot(account, scope):
    assert key_slot(account_key("ent", account)) == key_slot(scope_key("ent", account, scope))
    assert key_slot(encode_id(account).encode()) == key_slot(account_key("other", account))


def test_a_key_says_its_namespace_and_the_version_of_its_layout():
    assert b"ent1:{acme}" == account_key("ent", "acme")
    assert b"ent1:{acme}:10.0.0.1" == scope_key("ent", "acme", "10.0.0.1")
    assert b"ent1:{a%7Db}" == account_key("ent", "a}b")


@pytest.mark.parametrize("namespace", ["", "a:b", "a{", "ü", "x" * 65, "a b"])
def test_a_namespace_that_could_break_a_key_is_refused(namespace):
    with pytest.raises(ValueError, match="namespace"):
        check_namespace(namespace)


def test_a_common_charge_has_the_script_of_its_shape():
    ends = month_ends(None, 0)
    sliding = encode_call(Charge("acme", (Part(API, 100),)), "ent")
    scoped = encode_call(Charge("acme", (Part(Rate("ip", HOUR, per="ip"), 9),), scope="1.2.3.4"), "ent")
    whole = encode_call(Charge("acme", (Part(API, 100), Part(LEADS, 9, 1, ends)), operation=f"s:{0:016x}:1"), "ent")
    other = encode_call(Charge("beta", (Part(API, 1), Part(LEADS, 2, 3, ends)), operation=f"s:{0:016x}:2"), "ent")

    assert ("sliding", (b"ent1:{acme}",), 3) == (sliding.script.name, sliding.keys, len(sliding.args))
    assert ("sliding@", (b"ent1:{acme}", b"ent1:{acme}:1.2.3.4", b"ent1:{acme}::scopes")) == (
        scoped.script.name,
        scoped.keys,
    )
    assert ("sliding+quota", (b"ent1:{acme}",), 6) == (whole.script.name, whole.keys, len(whole.args))
    assert whole.script is other.script


@pytest.mark.parametrize(
    "charge",
    [
        Charge("acme", (Part(API, 100),), Verb.PEEK),
        Charge("acme", (Part(API, 100),), operation="k:1", keyed=True),
        Charge("acme", (Part(API, 0),)),
        Charge("acme", (Part(API, UNLIMITED),)),
        Charge("acme", (Part(AGENTS, 3),), Verb.ASSIGN, operation="o:1", holder="ann"),
    ],
    ids=["peek", "keyed", "zero", "unlimited", "assign"],
)
def test_every_other_charge_is_one_call_of_the_general_script(charge):
    call = encode_call(charge, "ent")

    assert (CHARGE, (b"ent1:{acme}",), 4) == (call.script, call.keys, len(call.args))


def test_a_scope_declares_its_key():
    parts = (Part(Rate("ip", HOUR, per="ip"), 9), Part(API, 100))

    keys = b"ent1:{acme}", b"ent1:{acme}:1.2.3.4", b"ent1:{acme}::scopes"
    assert keys == encode_call(Charge("acme", parts, scope="1.2.3.4"), "ent").keys
    assert keys == encode_call(Read("acme", parts, "1.2.3.4"), "ent").keys


def test_an_order_may_take_as_long_as_the_slowest_of_its_limits():
    ends = month_ends(None, 0)
    rate, quota = Part(API, 1), Part(LEADS, 1, 1, ends)

    assert 50_000 == deadline_of(Charge("acme", (rate,)))
    assert 250_000 == deadline_of(Recall(Charge("acme", (rate, quota))))
    assert 2 * SECOND == deadline_of(SetUsage("acme", Part(Quota("leads", deadline=2 * SECOND), 1, 1, ends)))
    assert 250_000 == deadline_of(Release("acme", "agents", 1))


@pytest.mark.parametrize("reply", [b"", b"x" * 21, b"\x09" * 37, None, 7, [b"a"], b"\xff" * 14])
def test_a_reply_that_is_none_of_ours_is_an_error_of_the_store(reply):
    for order in (Charge("acme", (Part(API, 1),)), Charge("acme", (Part(AGENTS, 1),)), Release("acme", "agents", 1)):
        if (reply, type(order)) in [(7, Release), (b"x" * 21, Charge)]:
            continue
        with pytest.raises(StoreError, match="no answer of ours"):
            decoder_of(order)(reply)


def test_only_a_test_can_tell_a_script_the_time():
    for script in SCRIPTS:
        assert b"redis.call('TIME')" in script.text
        assert b"injected" not in script.text
        assert with_injected_time(script).sha != script.sha
    assert COMMANDS in SCRIPTS
