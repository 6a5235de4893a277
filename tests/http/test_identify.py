"""Ready-made `identify` callables: they return verified identities only."""

import asyncio
import inspect
import ipaddress
from types import SimpleNamespace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trade import policy
from webserver import hello, serving

from entitlements import Account, AsyncEnforcer
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key, authenticated_user, client_ip, state_value
from entitlements.http.routes import Route


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


ADDRESSES = (
    st.ip_addresses()
    .filter(lambda address: not getattr(address, "ipv4_mapped", None) and not str(address).startswith("64:ff9b::"))
    .map(str)
)


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

    found = client_ip(trusted_proxies=proxies, ipv6_prefix=128)(
        scope((b"x-forwarded-for", header), client=("10.0.0.1", 1))
    )

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
    identify = client_ip(trusted_proxies=1, ipv6_prefix=128)

    assert address == identify(scope((b"x-forwarded-for", written), client=("10.0.0.1", 1)))


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


# -- proxies by network, RFC 7239, unix sockets ------------------------------------------------


@pytest.mark.parametrize("client", [None, ("", 0), ("unix:", 0)])
def test_behind_a_unix_socket_the_address_is_the_one_that_the_proxy_wrote(client):
    asked = scope((b"x-forwarded-for", b"192.0.2.66, 203.0.113.9"), client=client)

    assert ["203.0.113.9", "203.0.113.9", None, None] == [
        client_ip(trusted_proxies=trusted)(asked) for trusted in (1, ["unix:"], ["10.0.0.0/8"], 0)
    ]


@pytest.mark.parametrize(
    ("peer", "written", "address"),
    [
        ("10.0.0.1", b"6.6.6.6, 9.9.9.9, 10.0.0.2, 10.0.0.3", "9.9.9.9"),
        ("10.0.0.1", b"9.9.9.9", "9.9.9.9"),
        ("10.0.0.1", b"9.9.9.9, ::ffff:10.0.0.2", "9.9.9.9"),
        ("::ffff:10.0.0.1", b"9.9.9.9, fd00::2", "9.9.9.9"),
        ("8.8.8.8", b"9.9.9.9", "8.8.8.8"),  # the peer is no proxy of ours
        ("10.0.0.1", b"10.0.0.7, 10.0.0.2", "10.0.0.7"),  # a client in our own network
        ("10.0.0.1", b"", "10.0.0.1"),
        ("10.0.0.1", b"9.9.9.9, unknown, 10.0.0.2", None),
        ("testclient", b"9.9.9.9", None),
    ],
)
def test_proxies_can_be_trusted_by_network(peer, written, address):
    identify = client_ip(trusted_proxies=["10.0.0.0/8", "fd00::/8", "unix:"])

    assert address == identify(scope((b"x-forwarded-for", written), client=(peer, 1)))


@given(
    st.lists(st.text('0123456789.,: a"[]\\', max_size=20), max_size=4),
    ADDRESSES.filter(lambda address: not address.startswith("10.")),
    st.integers(0, 3),
    st.booleans(),
)
def test_what_a_client_writes_is_not_its_address_behind_trusted_networks_either(forged, real, proxies, rfc7239):
    hops = [real, *(f"10.0.0.{at}" for at in range(proxies))]
    header, value = b"x-forwarded-for", ",".join([*forged, *hops])
    if rfc7239:
        written = [f'for="[{hop}]:80";proto=http' if ":" in hop else f"proto=http;For={hop}" for hop in hops]
        header, value = b"forwarded", ",".join([*forged, *written])
    identify = client_ip(trusted_proxies=["10.0.0.0/8"], ipv6_prefix=128, header=header.decode())
    counted = client_ip(trusted_proxies=proxies + 1, ipv6_prefix=128, header=header.decode())
    asked = scope((header, value.encode()), client=("10.9.9.9", 1))

    assert [real, real] == [identify(asked), counted(asked)]


@pytest.mark.parametrize(
    ("written", "address"),
    [
        (b"for=192.0.2.43", "192.0.2.43"),
        (b'for="192.0.2.43:47011"', "192.0.2.43"),
        (b'by=203.0.113.43;FOR="[2001:db8:cafe::17]:4711";proto=https', "2001:db8:cafe::17"),
        (b"for=6.6.6.6, for=192.0.2.43;by=10.0.0.1", "192.0.2.43"),
        (b'host="x;for=6.6.6.6";for=192.0.2.43', "192.0.2.43"),
        (b'for=192.0.2.43;host="a\\";for=6.6.6.6,b"', "192.0.2.43"),
        (b'for="6.6.6.6, for=192.0.2.43', "192.0.2.43"),  # a client left a quote open
        (b'for="6.6.6.6\\, for="[2001:db8::1]"', "2001:db8::1"),
        (b"for=unknown", None),
        (b"for=_hidden", None),
        (b"by=192.0.2.43", None),
        (b"for=6.6.6.6;for=192.0.2.43", None),
        (b"192.0.2.43", None),
        (b"", None),
    ],
)
def test_forwarded_is_read_as_rfc_7239_has_it(written, address):
    identify = client_ip(trusted_proxies=1, ipv6_prefix=128, header="Forwarded")

    assert address == identify(scope((b"forwarded", written), client=("10.0.0.1", 1)))


def test_only_the_header_that_is_named_is_read():
    asked = scope((b"forwarded", b"for=6.6.6.6"), (b"x-forwarded-for", b"9.9.9.9"), client=("10.0.0.1", 1))

    assert ("9.9.9.9", "6.6.6.6") == (
        client_ip(trusted_proxies=1)(asked), client_ip(trusted_proxies=1, header="forwarded")(asked),
    )  # fmt: skip
    with pytest.raises(ValueError, match="'x-real-ip' cannot be read; it must be"):
        client_ip(trusted_proxies=1, header="x-real-ip")


def test_the_addresses_of_one_network_are_one_client_by_default():
    found = {client_ip(trusted_proxies=0)(scope(client=(f"2001:db8:0:1::{at:x}", 1))) for at in range(1, 40)}

    assert {"2001:db8:0:1::/64"} == found


def test_clients_behind_a_nat64_are_told_apart():
    found = [client_ip(trusted_proxies=0)(scope(client=(f"64:ff9b::192.0.2.{at}", 1))) for at in range(3)]

    assert ["192.0.2.0", "192.0.2.1", "192.0.2.2"] == found


@pytest.mark.parametrize("trusted", ["10.0.0.0/8", ["10.0.0.1/8"], ["proxy"], [None], [7]])
def test_networks_that_cannot_be_are_refused(trusted):
    with pytest.raises(ValueError, match="trusted_proxies"):
        client_ip(trusted_proxies=trusted)


@given(st.ip_addresses(v=4), st.integers(0, 32), st.sampled_from(["::ffff:", "64:ff9b::"]), st.ip_addresses(v=4))
def test_a_network_that_is_written_as_ipv6_trusts_the_proxies_of_its_ipv4_network(within, length, prefix, other):
    plain = ipaddress.ip_network((within, length), strict=False)
    written = client_ip(trusted_proxies=[f"{prefix}{plain.network_address}/{96 + length}"])
    counted = client_ip(trusted_proxies=[str(plain)])

    for proxy in (str(within), f"::ffff:{within}", str(other)):
        asked = scope((b"x-forwarded-for", b"2001:db8::1"), client=(proxy, 1))
        assert counted(asked) == written(asked)
    assert "2001:db8::/64" == written(scope((b"x-forwarded-for", b"2001:db8::1"), client=(str(within), 1)))


def test_clients_of_a_server_on_a_unix_socket_are_limited_by_their_address(tmp_path):
    limited = policy()
    find = client_ip(trusted_proxies=1)

    def identify(scope):
        return Account(find(scope), "free")

    app = EntitlementsMiddleware(
        hello, enforcer=AsyncEnforcer(limited), identify=identify, default=Route(consumes={"leads": 3})
    )
    path = str(tmp_path / "socket")
    with (
        serving(app, uds=path),
        httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x") as client,
    ):
        statuses = [
            client.get("/", headers={"x-forwarded-for": f"192.0.2.66, 203.0.113.{last}"}).status_code
            for last in (9, 9, 8)
        ]

    assert [200, 429, 200] == statuses
