"""Stores around a store that fail on command."""

from entitlements.stores.errors import Broken, Corrupt, Overloaded, Rejected, TimedOut, Unreachable

FAILURES = {"refused": Unreachable, "full": Overloaded, "rejected": Rejected, "corrupt": Corrupt, "silent": TimedOut}


class Flaky:
    """Store that fails as *how* says: None (not at all), `lost` (done, reply lost), or one of FAILURES (not done)."""

    via = "store"

    def __init__(self, store):
        self.store, self.how, self.asked, self.script = store, None, [], []

    def execute(self, order):
        self.asked.append(order)
        how = self.script.pop(0) if self.script else self.how
        if how in FAILURES:
            raise FAILURES[how](f"it is {how}")
        answer = self.store.execute(order)
        if how == "lost":
            raise Broken("the reply is lost")
        return answer

    def close(self):
        self.store.close()


class AsyncFlaky:
    """`Flaky` for an event loop."""

    via = "store"

    def __init__(self, store):
        self.flaky = Flaky(store)

    async def execute(self, order):
        return self.flaky.execute(order)

    async def aclose(self):
        self.flaky.close()
