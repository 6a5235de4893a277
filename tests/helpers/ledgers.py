"""Random histories of an enforcer with a ledger, and what the counters of its accounts are."""

from __future__ import annotations

import random
from contextlib import suppress

from deadlines import patient

from entitlements import Enforcer, Policy, ReservationExpired
from entitlements.ledger import SqlLedger

WRITTEN = {
    "policy": {"version": "l1"},
    "limits": patient(
        {
            "api": {"kind": "rate"},
            "leads": {"kind": "quota"},
            "trials": {"kind": "quota", "mode": "shadow"},
            "agents": {"kind": "allocation"},
            "storage": {"kind": "allocation"},
            "exports": {"kind": "quota", "per": "project"},
            "desks": {"kind": "allocation", "per": "project"},
            "seats-ever": {"kind": "quota", "period": "lifetime"},
        }
    ),
    "tiers": {
        "pro": {
            "rank": 1,
            "limits": {
                "api": "1000000 per hour",
                "leads": 60,
                "trials": 5,
                "agents": 12,
                "storage": 10**6,
                "exports": 20,
                "desks": 5,
                "seats-ever": 500,
            },
        }
    },
}
ACCOUNTS = ("acme", "globex", "żółć")
COUNTED = ("leads", "trials", "agents", "storage", "seats-ever")
SCOPED = ("exports", "desks")
PROJECTS = ("p1", "żó/2")


def policy():
    """Return the policy of the tests of the ledger."""
    return Policy.parse(WRITTEN)


def enforcer(ledger, store, **options):
    """Return an enforcer whose orders the ledger takes."""
    return Enforcer(policy(), accounts=dict.fromkeys(ACCOUNTS, "pro"), store=store, hooks=[ledger], **options)


def ledger_in(database, **options):
    """Return a ledger that writes only when it is told to, unless *age* says otherwise."""
    return SqlLedger(database, **{"age": 3600} | options)


class History:
    """
    Random calls of an enforcer for a few accounts.

    Args:
        enforcer: The enforcer.
        seed: The seed of the calls.
        tick: Called before each, to move a clock: no store carries out two orders of an account at one instant.
    """

    def __init__(self, enforcer, seed, tick=lambda: None):
        self.enforcer, self._chance, self._tick = enforcer, random.Random(seed), tick
        self._decisions, self._reservations, self._keys = [], [], 0

    def run(self, steps):
        for _ in range(steps):
            self._tick()
            account = self._chance.choice(ACCOUNTS)
            verb = self._chance.choice(VERBS)
            verb(self, account)

    def _consume(self, account):
        what = self._chance.choice([{"leads": 3}, {"api": 1, "leads": 2}, {"api": 2}, {"agents": 1}, {"trials": 2}])
        decision = self.enforcer.consume(account, what)
        self._decisions += [decision] * bool(decision)

    def _scoped(self, account):
        project = self._chance.choice(PROJECTS)
        verb = self._chance.randrange(6)
        if verb < 2:
            what = self._chance.choice([{"leads": 1, "exports": 2}, {"desks": 1}, {"api": 1, "exports": 1, "desks": 1}])
            decision = self.enforcer.consume(account, what, scope=project)
            self._decisions += [decision] * bool(decision)
        elif verb == 2:
            self.enforcer.assign(account, "desks", f"user-{self._chance.randrange(4)}", scope=project)
        elif verb == 3:
            self.enforcer.unassign(account, "desks", f"user-{self._chance.randrange(4)}", scope=project)
        elif verb == 4:
            self.enforcer.release(account, "desks", 1, scope=project)
        else:
            self.enforcer.set_usage(account, "exports", self._chance.randrange(20), scope=project)

    def _ever(self, account):
        self.enforcer.consume(account, "seats-ever", 2)

    def _keyed(self, account):
        self._keys += self._chance.random() < 0.7
        with suppress(ValueError):
            self._decisions.append(self.enforcer.consume(account, "leads", 2, key=f"{account}-{self._keys}"))

    def _refund(self, account):
        if self._decisions:
            chosen = self._chance.choice(self._decisions)
            self.enforcer.refund(chosen, rates=self._chance.random() < 0.5)

    def _assign(self, account):
        decision = self.enforcer.assign(account, "agents", f"user-{self._chance.randrange(5)}")
        self._decisions += [decision] * bool(decision)

    def _unassign(self, account):
        self.enforcer.unassign(account, "agents", f"user-{self._chance.randrange(5)}")

    def _release(self, account):
        self.enforcer.release(account, self._chance.choice(["agents", "storage"]), self._chance.randrange(1, 4))

    def _set(self, account):
        limit = self._chance.choice(["leads", "storage"])
        with suppress(ValueError):
            self.enforcer.set_usage(account, limit, self._chance.randrange(40))

    def _reserve(self, account):
        key = f"r{self._chance.randrange(4)}" if self._chance.random() < 0.3 else None
        with suppress(ValueError):
            what = self._chance.choice([{"leads": 5}, {"leads": 2, "storage": 3}, {"api": 1, "leads": 1}])
            found = self.enforcer.reserve(account, what, ttl=self._chance.choice([60, 600]), key=key)
            self._reservations += [(account, found, what)] * bool(found)

    def _settle(self, account):
        if not self._reservations:
            return
        account, found, what = self._reservations.pop(self._chance.randrange(len(self._reservations)))
        if self._chance.random() < 0.3:
            found = self.enforcer.reservation(account, found.id)
        with suppress(ReservationExpired, ValueError):
            kind = self._chance.randrange(4)
            if kind == 0:
                found.cancel()
            elif kind == 1:
                found.commit({name: self._chance.randrange(units + 1) for name, units in what.items() if name != "api"})
            elif kind == 2 and len(what) == 1:
                found.commit(self._chance.choice([1, 7]))
            else:
                found.commit()

    def _forget(self, account):
        if self._chance.random() < 0.1:
            self.enforcer.forget(account)


VERBS = (
    [History._consume] * 6
    + [History._reserve, History._settle, History._refund] * 2
    + [History._scoped] * 4
    + [
        History._ever,
        History._keyed,
        History._assign,
        History._unassign,
        History._release,
        History._set,
        History._forget,
    ]
)


def counters(enforcer, accounts=ACCOUNTS):
    """Return used and reserved units of every counted limit, and the holders of seats, by account."""
    found = {}
    for account in accounts:
        usage = enforcer.usage(account)
        found[account] = {name: (usage[name].used, usage[name].reserved) for name in COUNTED}
        found[account]["holders"] = enforcer.holders(account, "agents")
        for project in PROJECTS:
            usage = enforcer.usage(account, scope=project)
            found[account][project] = {name: (usage[name].used, usage[name].reserved) for name in SCOPED}
            found[account][project]["holders"] = enforcer.holders(account, "desks", scope=project)
    return found


def past(enforcer, accounts=ACCOUNTS):
    """Return the used units of every period of the quotas, by account."""
    return {
        account: [(each.start, each.used) for each in enforcer.history(account, "leads") if each.used]
        for account in accounts
    }
