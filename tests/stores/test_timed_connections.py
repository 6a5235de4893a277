"""A thread waits no longer than its deadline, over all addresses, connections and reads of a call."""

from __future__ import annotations

import socket
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

import pytest
from deadlines import LONG
from proxy import proxied

from entitlements import StoreError
from entitlements.model.answers import Status
from entitlements.model.charge import Charge, Part
from entitlements.model.instants import HOUR, SECOND
from entitlements.model.limits import Rate
from entitlements.stores.errors import Unreachable
from entitlements.stores.redis import RedisStore, timed_connections

DEADLINE = 1.0
TWICE = 1.9 * DEADLINE
"""Seconds that a call takes at least if it waits for its deadline twice."""
HASTY = Charge("acme", (Part(Rate("api", HOUR, deadline=int(DEADLINE * SECOND)), 100),))
BRISK = Charge("acme", (Part(Rate("api", HOUR, deadline=4 * SECOND), 100),))
PATIENT = Charge("acme", (Part(Rate("api", HOUR, deadline=LONG), 100),))
"""For calls that may take a busy machine a moment."""


def seconds(store, charge=HASTY):
    """Return how long a charge takes that cannot be sent."""
    began = monotonic()
    with pytest.raises(Unreachable):
        store.execute(charge)
    return monotonic() - began


def started(url):
    """Return a store after the start-up time, in which calls wait longer for the first connection."""
    store = RedisStore(url)
    store._pool._start_up.ends = 0.0
    return store


@contextmanager
def silent(servers):
    """Yield the ports of servers that accept connections and never reply."""
    with ExitStack() as stack:
        listening = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(servers)]
        yield [each.getsockname()[1] for each in listening]


@contextmanager
def deaf(addresses, port=0):
    """Yield a port, or the given one, on which addresses from 127.0.0.2 on do not accept connections."""
    with ExitStack() as stack:
        for place in range(2, 2 + addresses):
            listening = stack.enter_context(socket.socket())
            listening.bind((f"127.0.0.{place}", port))
            listening.listen(0)
            port = listening.getsockname()[1]
            for _ in range(3):  # more than its backlog
                caller = stack.enter_context(socket.socket())
                caller.setblocking(False)
                caller.connect_ex((f"127.0.0.{place}", port))
        yield port


class Names:
    """Resolver of some names; `asked` lists the names of its calls."""

    def __init__(self):
        self.addresses, self.asked, self.pause, self._real = {}, [], 0.0, socket.getaddrinfo

    def __call__(self, host, *rest, **named):
        if host not in self.addresses:
            return self._real(host, *rest, **named)
        self.asked.append(host)
        sleep(self.pause)
        return [each for address in self.addresses[host] for each in self._real(address, *rest, **named)]


@pytest.fixture
def names(monkeypatch):
    names = Names()
    monkeypatch.setattr(socket, "getaddrinfo", names)
    return names


# --- Deadlines ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["late", "drip"])
def test_a_slow_handshake_holds_a_thread_no_longer_than_its_deadline(valkey, how):
    with proxied(valkey.port) as proxy:
        store = RedisStore(proxy.url)
        store.execute(PATIENT)
        store.close()  # the next one connects again
        proxy.inject(how, 0.9 * DEADLINE, of=b"")
        assert seconds(store) < TWICE
        proxy.heal()
        assert Status.ADMITTED is store.execute(PATIENT).status
        store.close()


def test_a_name_with_several_deaf_addresses_takes_no_longer_than_one(names):
    with deaf(3) as port:
        names.addresses["many.test"] = ["127.0.0.2", "127.0.0.3", "127.0.0.4"]
        assert seconds(started(f"redis://many.test:{port}")) < TWICE


def test_a_deaf_address_leaves_time_for_the_next(names, valkey):
    with deaf(1, valkey.port):
        names.addresses["two.test"] = ["127.0.0.2", "127.0.0.1"]
        store = started(f"redis://two.test:{valkey.port}")
        assert Status.ADMITTED is store.execute(BRISK).status
        store.close()


def test_silent_sentinels_take_no_longer_than_one():
    with silent(3) as ports:
        url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/main"
        assert seconds(started(url)) < TWICE


def test_a_silent_sentinel_leaves_time_for_the_next(rack):
    with silent(1) as (port,):
        server = rack.start("valkey-9")
        watching = rack.start("valkey-9", f"sentinel monitor main 127.0.0.1 {server.port} 1", mode=("--sentinel",))
        store = started(f"redis+sentinel://127.0.0.1:{port},127.0.0.1:{watching.port}/main")
        assert Status.ADMITTED is store.execute(BRISK).status
        store.close()
        rack.remove(server, watching)


def test_silent_nodes_of_a_cluster_take_no_longer_than_one():
    with silent(3) as ports:
        url = f"redis+cluster://{','.join(f'127.0.0.1:{port}' for port in ports)}"
        assert seconds(started(url)) < TWICE


def test_a_silent_node_of_a_cluster_leaves_time_for_the_next(cluster):
    with silent(1) as (port,):
        for _ in range(6):  # which node is asked first is a matter of chance
            store = started(f"redis+cluster://127.0.0.1:{port},127.0.0.1:{cluster.nodes[0].port}")
            assert Status.ADMITTED is store.execute(BRISK).status
            store.close()


def test_each_of_several_has_a_fair_part_of_what_is_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(timed_connections, "monotonic", lambda: now[0])
    deadline = timed_connections.Deadline(100.9, candidates=3)
    assert pytest.approx(0.3) == deadline.remaining("first")
    now[0] = 100.2
    assert pytest.approx(0.1) == deadline.remaining("first")
    assert pytest.approx(0.35) == deadline.remaining("second")
    assert pytest.approx(0.7) == deadline.remaining("third")
    assert pytest.approx(0.7) == deadline.remaining("third")
    now[0] = 100.9
    with pytest.raises(TimeoutError):
        deadline.remaining("third")


# --- Names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["valkey", "tls_server"])
def test_a_name_is_looked_up_when_the_store_is_built_and_again_once_a_connection_has_failed(request, names, kind):
    server = request.getfixturevalue(kind)
    names.addresses["localhost"] = ["127.0.0.1"]
    store = RedisStore(server.url.replace("127.0.0.1", "localhost"))
    assert ["localhost"] == names.asked
    for _ in range(2):
        store.execute(PATIENT)
        store.close()  # the next one connects again
    assert ["localhost"] == names.asked

    server.kill()
    assert seconds(store, PATIENT) < LONG / SECOND / 2
    server.restart()
    store.execute(PATIENT)
    assert ["localhost"] * 2 == names.asked
    store.close()


def test_an_address_that_was_looked_up_too_late_is_there_for_the_next_call(valkey, names):
    names.addresses["slow.test"] = []
    store = started(f"redis://slow.test:{valkey.port}")
    names.addresses["slow.test"], names.pause = ["127.0.0.1"], 1.5 * DEADLINE
    seconds(store)
    assert Status.ADMITTED is store.execute(PATIENT).status
    assert 2 == len(names.asked)  # when it was built, and by the first call
    store.close()


def test_a_certificate_must_be_of_the_name_though_the_address_is_known(tls_server, names):
    names.addresses["other.test"] = ["127.0.0.1"]
    store = RedisStore(tls_server.url.replace("127.0.0.1", "other.test"))
    with pytest.raises(Unreachable, match="or of another host"):
        store.execute(PATIENT)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 64 + ".test"])
def test_a_name_that_leads_nowhere_is_told_by_the_first_order(host):
    store = RedisStore(f"redis://{host}")
    with pytest.raises(StoreError, match="cannot connect"):
        store.execute(PATIENT)
