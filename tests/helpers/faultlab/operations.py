"""The columns of the table: what a caller does again and again, written once for threads and event loops."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from inspect import isawaitable
from time import monotonic

from entitlements import Policy, Reason, ReservationExpired
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.routes import Route

DEADLINE = 0.25
"""Seconds that every limit of the lab gives the store."""
TTL = 1.5
"""Seconds that a reservation of the lab lives."""
ACCOUNT, RATE, QUOTA, SEATS, EXPORTS = "acme", 80, 60, 40, 10
USERS, MINE, DESKS = ("ann", "bob"), 25, 15
"""Scopes of the account, which share its quota, and the sizes of the limits that each has to itself."""
PRIVATE = tuple(f"worker-{number}" for number in range(4))
"""Accounts that one worker each has to itself."""

WRITTEN = {
    "policy": {"version": "lab"},
    "features": {"sso": "Single sign-on"},
    "limits": {
        "api": {"kind": "rate", "deadline": "250 ms"},
        "leads": {"kind": "quota", "deadline": "250 ms"},
        "exports": {"kind": "quota", "deadline": "250 ms", "on_outage": "allow"},
        "seats": {"kind": "allocation", "deadline": "250 ms"},
        "storage": {"kind": "allocation", "deadline": "250 ms"},
        "mine": {"kind": "quota", "per": "user", "deadline": "250 ms"},
        "desks": {"kind": "allocation", "per": "user", "deadline": "250 ms"},
    },
    "tiers": {"one": {"rank": 1, "features": ["sso"], "limits": {
        "api": f"{RATE} per hour", "leads": QUOTA, "exports": EXPORTS, "seats": SEATS, "storage": 10**6, "mine": MINE, "desks": DESKS,
    }}},
}  # fmt: skip
POLICY = Policy.parse(WRITTEN)
CROWDED = tuple(f"crowd-{number}" for number in range(8))
"""Accounts of histories, each shared by some workers of each process."""
ACCOUNTS = dict.fromkeys((ACCOUNT, *PRIVATE, *CROWDED), "one")
SIZES = {"api": RATE, "leads": QUOTA, "seats": SEATS, "mine": MINE, "desks": DESKS}
"""Limits that hold whatever happens; `exports` says `on_outage: allow`, and may be passed by what it lets through."""
RATES = {"api"}
PER_USER = {"mine", "desks"}


class Actor:
    """
    One worker of a cell: it calls an enforcer and notes what it was told.

    Args:
        enforcer: An `Enforcer` or an `AsyncEnforcer`.
        told: Takes the calls of all workers.
        worker: Its number.
        account: The account that it shares with other workers.
    """

    def __init__(self, enforcer, told, worker, account=ACCOUNT):
        self.enforcer, self.told, self.worker, self.account = enforcer, told, worker, account
        self.private = PRIVATE[worker % len(PRIVATE)]
        self.error = None
        """The error of the last call, or None."""
        self._app = None

    def cut(self):
        """Return a context manager that may cut the next call short by a TimeoutError."""
        return nullcontext()

    async def call(self, verb, *args, of=None, **named):
        """Return the result of a verb, or None if it raised."""
        began, self.error = monotonic(), None
        try:
            async with self.cut():
                result = getattr(of or self.enforcer, verb)(*args, **named)
                if isawaitable(result):
                    result = await result
        except Exception as error:  # noqa: BLE001 - the judge looks at it
            self.told.note(verb, began, error=error)
            self.error = error
            return None
        self.told.note(verb, began, result)
        return result

    async def charge(self, wanted, *, account=None, scope=None):
        """Consume units without a key and note them; return the decision, or None."""
        account = account or self.account
        wanted = {wanted: 1} if isinstance(wanted, str) else wanted
        named = {} if scope is None else {"scope": scope}
        decision = await self.call("consume", account, wanted, **named)
        for limit, units in wanted.items():
            self.note_charge(record_of(account, limit, scope), limit, units, decision)
        return decision

    def note_charge(self, account, limit, units, decision):
        """Note what must be counted after a charge: of a rate that was decided here, perhaps nothing."""
        if decision is None or (limit in RATES and decision.degraded):
            self.told.add(account, limit, 0, units)
        elif decision.allowed:
            self.told.add(account, limit, units)
        else:
            self.told.add(account, limit, 0)
            self.told.undone[account, limit] += units
        if decision:
            self.told.grant(account, limit, units)

    async def request(self, path):
        """Send a request through the middleware; return the status, or None if the application raised."""
        if self._app is None:
            routes = [Route("/leads", consumes={"api": 1, "leads": 1}), Route("/failing", consumes={"leads": 1})]
            self._app = EntitlementsMiddleware(
                _application, enforcer=self.enforcer, identify=lambda _: self.account, routes=routes
            )
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": [], "root_path": "", "state": {}}  # fmt: skip
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        began = monotonic()
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the judge looks at it
            self.told.note("request", began, error=error)
            return None
        self.told.note("request", began, sent[0]["status"])
        return sent[0]["status"]


def record_of(account, limit, scope=None):
    """Return the record that counts a limit: the account, or the account and the scope."""
    return f"{account}:{scope}" if limit in PER_USER else account


def drive(story):
    """Run a story on a blocking enforcer: it never waits."""
    try:
        story.send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("the story of a thread has waited for an event loop")


async def _application(scope, receive, send):
    status = 502 if scope["path"] == "/failing" else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"done"})


# --- Stories ------------------------------------------------------------------------------------------------------


async def can(actor, number):
    for name in ("sso", "leads"):
        if await actor.call("can", actor.account, name) is not True:
            actor.told.mistakes.append(f"can({name!r}) is not True")


async def rate(actor, number):
    await actor.charge("api")


async def quota(actor, number):
    await actor.charge("leads")


async def allowed_quota(actor, number):
    await actor.charge("exports")


async def keyed_quota(actor, number):
    """Use each key twice, and once more at the end: only the last answer says what became of it."""
    await use_key(actor, f"{actor.worker}-{number // 2}")


async def use_key(actor, key):
    decision = await actor.call("consume", actor.account, "leads", key=key)
    name = (actor.account, "leads", key)
    least, _ = actor.told.keys.get(name, (0, 0))
    if decision is None or (decision.degraded and not decision.allowed):
        actor.told.keys[name] = least, 1
    else:
        if least and not decision.allowed:
            actor.told.mistakes.append(f"key {key} was allowed and then refused")
        actor.told.keys[name] = (int(decision.allowed),) * 2
    if decision and not least:
        actor.told.grant(actor.account, "leads", 1)


async def repeat_keys(actor):
    """Use every key again of which it is open whether it counts."""
    for (_, _, key), (least, most) in tuple(actor.told.keys.items()):
        if least != most:
            await use_key(actor, key)


async def mixed(actor, number):
    await actor.charge({"api": 1, "leads": 1})


async def per_user(actor, number):
    """Charge a rate and a quota of the account, and a quota of a user; refund every third charge."""
    user = USERS[(actor.worker + number) % len(USERS)]
    wanted = {"api": 1, "leads": 1, "mine": 1}
    decision = await actor.charge(wanted, scope=user)
    if decision and number % 3 == 0:
        back = await actor.call("refund", decision)
        for limit in ("leads", "mine"):
            record = record_of(actor.account, limit, user)
            actor.told.add(record, limit, -1 if back in {True, None} else 0, -1 if back else 0)
            actor.told.grant(record, limit, -1 if back else 0)


async def reservation_per_user(actor, number):
    """Reserve units of the account's quota and of a user's limits; commit all, one unit of each quota, more, or nothing."""
    held, kept = {"leads": 2, "mine": 2, "desks": 1}, {"leads": 1, "mine": 1}
    await reserve(actor, number, held, kept, USERS[(actor.worker + number) % len(USERS)])


async def reservation(actor, number):
    """Reserve two units of a quota and a seat; commit all, one unit, more, or nothing."""
    await reserve(actor, number, {"leads": 2, "seats": 1}, {"leads": 1})


async def reserve(actor, number, held, some, scope=None):
    """Reserve units, and commit all of them, some, none, or more."""
    named = {} if scope is None else {"scope": scope}
    reserved = await actor.call("reserve", actor.account, held, ttl=TTL, **named)
    if not reserved:
        return
    for limit, units in held.items():
        actor.told.grant(record_of(actor.account, limit, scope), limit, units)
    more = {limit: units + 1 for limit, units in held.items()}
    kept = (held, some, {}, more)[number % 4]
    arguments = (("commit",), ("commit", some), ("cancel",), ("commit", more))[number % 4]
    await actor.call(*arguments, of=reserved)
    expired = isinstance(actor.error, ReservationExpired)
    for limit, reserved_units in held.items():
        units, record = kept.get(limit, 0), record_of(actor.account, limit, scope)
        actor.told.add(record, limit, 0 if actor.error else units, 0 if expired else units)
        actor.told.committed[record, limit] += units
        granted = 0 if actor.error else min(units, reserved_units)  # what is above it may pass the limit
        actor.told.grant(record, limit, granted - reserved_units)


async def seats_by_name(actor, number):
    """Assign a seat to a new holder, list the holders, and take every second seat back."""
    holder = f"{actor.worker}-{number}"
    name = (actor.account, "seats", holder)
    decision = await actor.call("assign", actor.account, "seats", holder)
    unknown = decision is None or decision.reason is Reason.STORE_UNAVAILABLE
    actor.told.holders[name] = None if unknown else decision.allowed
    if decision:
        listed = await actor.call("holders", actor.account, "seats")
        if listed is not None and holder not in listed:
            actor.told.mistakes.append(f"{holder} was assigned a seat and is not listed")
    if number % 2:
        gone = await actor.call("unassign", actor.account, "seats", holder)
        may_arrive = gone is False and unknown  # the assignment may reach the server after this
        actor.told.holders[name] = None if gone is None or may_arrive else False
        if gone is False and decision:
            actor.told.mistakes.append(f"{holder} was assigned a seat, and unassign says that it held none")


async def refund(actor, number):
    decision = await actor.charge("leads")
    if decision:
        back = await actor.call("refund", decision)
        actor.told.add(actor.account, "leads", -1 if back in {True, None} else 0, -1 if back else 0)
        actor.told.grant(actor.account, "leads", -1 if back else 0)
        if back is False:
            actor.told.mistakes.append("the first refund of a charge says that there was nothing to refund")


async def release(actor, number):
    if await actor.charge({"seats": 2}):
        back = await actor.call("release", actor.account, "seats", 1)
        actor.told.add(actor.account, "seats", -1 if back is None else -back, 0 if back is None else -back)
        actor.told.grant(actor.account, "seats", -1 if back is None else -back)


async def total(actor, number):
    """Set a total that no other worker sets."""
    units = 100 * (number + 1)
    stands = actor.told.totals[actor.private, "storage"]
    if await actor.call("set_usage", actor.private, "storage", units) is not None:
        stands.clear()
    stands.add(units)


async def usage(actor, number):
    """Charge an account that no other worker charges, and read what is used."""
    await actor.charge("leads", account=actor.private)
    read = await actor.call("usage", actor.private)
    least, most = actor.told.bounds(actor.private, "leads")
    if read is not None and not least <= read["leads"].used <= most + actor.told.undone[actor.private, "leads"]:
        actor.told.mistakes.append(f"usage says {read['leads'].used} where {least} to {most} were told")


async def middleware(actor, number):
    """Send a request that is charged, and one that fails and is refunded."""
    status = await actor.request("/leads")
    actor.told.add(actor.account, "leads", int(status == 200), int(status in {200, None}))
    actor.told.add(actor.account, "api", 0, 1)
    actor.told.grant(actor.account, "leads", int(status == 200))
    await actor.request("/failing")


@dataclass(frozen=True)
class Operation:
    """
    A column of the table.

    Args:
        name: Its name there.
        story: Called once a round with the actor and the number of the round.
        modes: The enforcers that have it.
        finish: Called once at the end, or None.
    """

    name: str
    story: object
    modes: tuple[str, ...] = ("sync", "async")
    finish: object = None


OPERATIONS = {
    each.name: each
    for each in (
        Operation("can", can),
        Operation("rate", rate),
        Operation("quota", quota),
        Operation("quota, allow", allowed_quota),
        Operation("quota, keyed", keyed_quota, finish=repeat_keys),
        Operation("mixed", mixed),
        Operation("mixed, per user", per_user),
        Operation("reservation", reservation),
        Operation("reservation, per user", reservation_per_user),
        Operation("seats by name", seats_by_name),
        Operation("refund", refund),
        Operation("release", release),
        Operation("set_usage", total),
        Operation("usage", usage),
        Operation("middleware", middleware, ("async",)),
    )
}
