"""Ready-made `identify` callables: they return verified identities only."""

import asyncio
import inspect
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entitlements.http.identify import api_key, authenticated_user, client_ip, state_value


def scope(*headers, **more):
    return {"type": "http", "headers": [(name, value) for name, value in headers], **more}


def test_an_authenticated_user_says_which_account():
    identify = authenticated_user("tenant")

    assert "acme" == identify(scope(user=SimpleNamespace(is_authenticated=True, tenant="acme")))
    assert [None] * 3 == [
        identify(scope(user=SimpleNamespace(is_authenticated=False, tenant="acme"))),
        identify(scope(user=SimpleNamespace(is_authenticated=True))),
        identify(scope()),
    ]


def test_a_verified_state_value_says_it():
    assert ("acme", None, None) == (
        state_value("tenant")(scope(state={"tenant": "acme"})), state_value("tenant")(scope(state={})),
        state_value("tenant")(scope((b"tenant", b"acme"))),
    )  # fmt: skip


def test_an_api_key_is_looked_up_and_never_believed():
    identify = api_key({"secret": "acme"})

    assert ["acme", None, None, None, None] == [
        identify(scope(*headers))
        for headers in (
            [(b"x-api-key", b" secret ")], [(b"x-api-key", b"acme")], [], [(b"x-api-key", b"secret"), (b"x-api-key", b"secret")],
            [(b"x-api-key", b"\xff")],
        )
    ]  # fmt: skip


def test_a_bearer_token_is_a_key_behind_its_scheme():
    identify = api_key({"secret": "acme"}, header="Authorization", scheme="Bearer")

    assert ["acme", "acme", None, None] == [
        identify(scope((b"authorization", value)))
        for value in (b"Bearer secret", b"bearer  secret", b"secret", b"Basic secret")
    ]


def test_a_lookup_may_be_async():
    async def find(key):
        return {"secret": "acme"}.get(key)

    found = api_key(find)(scope((b"x-api-key", b"secret")))

    assert inspect.isawaitable(found)
    assert "acme" == asyncio.run(find("secret"))
    found.close()


ADDRESSES = st.ip_addresses().filter(lambda address: not getattr(address, "ipv4_mapped", None)).map(str)


@given(
    st.lists(st.text('0123456789.,: a"[]', max_size=20), max_size=4),
    ADDRESSES,
    st.integers(1, 3),
    st.lists(ADDRESSES, min_size=3, max_size=3),
)
def test_what_a_client_writes_itself_is_never_its_address(forged, real, proxies, own):
    """Each trusted proxy appends the address of its peer; entries to the left of those can be forged by the client."""
    appended = [real, *own[: proxies - 1]]
    header = ",".join([*forged, *appended]).encode()

    found = client_ip(trusted_proxies=proxies)(scope((b"x-forwarded-for", header), client=("10.0.0.1", 1)))

    assert real == found


def test_without_proxies_the_header_is_not_read():
    forged = (b"x-forwarded-for", b"1.2.3.4")

    assert "9.9.9.9" == client_ip(trusted_proxies=0)(scope(forged, client=("9.9.9.9", 1)))
    assert None is client_ip(trusted_proxies=0)(scope(forged))


def test_fewer_hops_than_proxies_is_nobody():
    one = scope((b"x-forwarded-for", b"1.2.3.4"), client=("10.0.0.1", 1))

    assert (None, None, "1.2.3.4") == (
        client_ip(trusted_proxies=2)(one), client_ip(trusted_proxies=1)(scope(client=("10.0.0.1", 1))),
        client_ip(trusted_proxies=1)(one),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (b"1.2.3.4:5678", "1.2.3.4"), (b"[2001:DB8::1]:443", "2001:db8::1"), (b'"[2001:db8::1]"', "2001:db8::1"),
        (b"2001:db8:0::1", "2001:db8::1"), (b"::ffff:1.2.3.4", "1.2.3.4"), (b"unknown", None), (b"1.2.3.4.5", None), (b"", None),
    ],
)  # fmt: skip
def test_an_address_has_one_spelling(written, address):
    assert address == client_ip(trusted_proxies=1)(scope((b"x-forwarded-for", written), client=("10.0.0.1", 1)))


def test_a_network_can_be_one_client():
    identify = client_ip(trusted_proxies=0, ipv6_prefix=64)

    assert ["2001:db8:0:1::/64", "2001:db8:0:1::/64", "2001:db8:0:2::/64", "1.2.3.4", "1.2.3.4"] == [
        identify(scope(client=(address, 1)))
        for address in ("2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:2::1", "1.2.3.4", "::ffff:1.2.3.4")
    ]


@pytest.mark.parametrize("prefix", [0, 129, 64.0, True])
def test_a_prefix_that_cannot_be_is_refused(prefix):
    with pytest.raises(ValueError, match="ipv6_prefix"):
        client_ip(trusted_proxies=0, ipv6_prefix=prefix)


@pytest.mark.parametrize("count", [-1, 1.0, True, None])
def test_a_number_of_proxies_that_cannot_be_is_refused(count):
    with pytest.raises(ValueError, match="trusted_proxies"):
        client_ip(trusted_proxies=count)
