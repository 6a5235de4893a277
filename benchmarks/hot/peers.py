"""
Peers: other limiters for Python, set up as their documentation says, each in an environment of its own.

A peer is imported only when its case runs, because each environment has only one of them.
"""

from __future__ import annotations

from types import SimpleNamespace

from benchmarks.hot.setting import MANY, SMALL, Case


def sizes(setting):
    """Return the two limits by the first letter of the accounts that have them."""
    return {"a": setting.limit, "s": SMALL}


# -- limits --------------------------------------------------------------------------------


def _limits(case, aio):
    from limits import RateLimitItemPerSecond
    from limits import strategies as blocking
    from limits.aio import strategies as looped
    from limits.storage import storage_from_string

    strategies = looped if aio else blocking
    options = {"implementation": "redispy"} if aio else {}
    storage = storage_from_string(f"async+{case.setting.url}" if aio else case.setting.url, **options)
    case.limiter = getattr(strategies, case.strategy)(storage)
    seconds = case.setting.seconds
    case.items = {kind: RateLimitItemPerSecond(size, seconds) for kind, size in sizes(case.setting).items()}


class LimitsFixed(Case):
    strategy = "FixedWindowRateLimiter"

    def open(self):
        _limits(self, aio=False)

    def hit(self, account):
        return self.limiter.hit(self.items[account[0]], account)

    def close(self):
        pass


class LimitsFixedStats(LimitsFixed):
    """Also returns what is left and when it resets, which our answer always holds."""

    def hit(self, account):
        item = self.items[account[0]]
        admitted = self.limiter.hit(item, account)
        self.limiter.get_window_stats(item, account)
        return admitted


class LimitsSliding(LimitsFixed):
    strategy = "SlidingWindowCounterRateLimiter"


class LimitsSlidingStats(LimitsFixedStats):
    strategy = "SlidingWindowCounterRateLimiter"


class LimitsFixedAsync(Case):
    asynchronous = True
    strategy = "FixedWindowRateLimiter"

    async def open(self):
        _limits(self, aio=True)

    async def hit(self, account):
        return await self.limiter.hit(self.items[account[0]], account)

    async def close(self):
        pass


class LimitsFixedStatsAsync(LimitsFixedAsync):
    async def hit(self, account):
        item = self.items[account[0]]
        admitted = await self.limiter.hit(item, account)
        await self.limiter.get_window_stats(item, account)
        return admitted


class LimitsSlidingAsync(LimitsFixedAsync):
    strategy = "SlidingWindowCounterRateLimiter"


class LimitsSlidingStatsAsync(LimitsFixedStatsAsync):
    strategy = "SlidingWindowCounterRateLimiter"


class LimitsTwoAsync(LimitsFixedAsync):
    """As many hits as our charge has limits: each is a trip of its own, and an earlier one stays if a later one refuses."""

    others = 1

    async def open(self):
        from limits import RateLimitItemPerMonth

        await super().open()
        self.more = [RateLimitItemPerMonth(10**12, namespace=f"OTHER{number}") for number in range(self.others)]

    async def hit(self, account):
        return await super().hit(account) and all([await self.limiter.hit(item, account) for item in self.more])


class LimitsThreeAsync(LimitsTwoAsync):
    others = 2


# -- throttled-py --------------------------------------------------------------------------


def _throttled(case, package):
    from datetime import timedelta

    store = package.RedisStore(server=case.setting.url)
    window = timedelta(seconds=case.setting.seconds)
    case.limiters = {
        kind: package.Throttled(using="gcra", quota=package.per_duration(window, size, burst=size), store=store)
        for kind, size in sizes(case.setting).items()
    }


class Throttled(Case):
    def open(self):
        import throttled

        _throttled(self, throttled)

    def hit(self, account):
        return not self.limiters[account[0]].limit(account).limited

    def close(self):
        pass


class ThrottledAsync(Case):
    asynchronous = True

    async def open(self):
        import throttled.asyncio

        _throttled(self, throttled.asyncio)

    async def hit(self, account):
        return not (await self.limiters[account[0]].limit(account)).limited

    async def close(self):
        pass


# -- pyrate-limiter ------------------------------------------------------------------------


def _rate(case, account):
    from pyrate_limiter import Rate

    return [Rate(sizes(case.setting)[account[0]], case.setting.seconds * 1000)]


def _factory(bucket_of):
    """Return a factory that finds the bucket of an account, which `RedisBucket` has one of each."""
    from pyrate_limiter import BucketFactory, RateItem

    class Factory(BucketFactory):
        def wrap_item(self, name, weight=1):
            from time import time_ns

            return RateItem(name, time_ns() // 1_000_000, weight=weight)

        def get(self, item):
            return bucket_of(item.name)

    return Factory()


class Pyrate(Case):
    def open(self):
        import redis
        from pyrate_limiter import Limiter, RedisBucket

        self._client, buckets = redis.Redis.from_url(self.setting.url), {}

        def bucket_of(account):
            if account not in buckets:
                buckets[account] = RedisBucket.init(_rate(self, account), self._client, f"pyrate:{account}")
            return buckets[account]

        self.limiter = Limiter(_factory(bucket_of))

    def hit(self, account):
        return self.limiter.try_acquire(account, blocking=False)

    def close(self):
        self._client.close()


class PyrateAsync(Case):
    asynchronous = True

    async def open(self):
        import redis.asyncio
        from pyrate_limiter import Limiter, RedisBucket

        self._client, self._buckets = redis.asyncio.Redis.from_url(self.setting.url, max_connections=MANY), {}
        self._make = RedisBucket.init
        self.limiter = Limiter(_factory(self._buckets.get))

    async def hit(self, account):
        if account not in self._buckets:
            self._buckets[account] = await self._make(_rate(self, account), self._client, f"pyrate:{account}")
        return await self.limiter.try_acquire_async(account, blocking=False)

    async def close(self):
        await self._client.aclose()


# -- halt-rate -----------------------------------------------------------------------------


def _halt(case, store):
    from halt import Algorithm, Policy, RateLimiter

    def limiter(size):
        policy = Policy(
            "hot", size, case.setting.seconds, algorithm=Algorithm.TOKEN_BUCKET, burst=size, key_extractor=_account_of
        )
        return RateLimiter(store, policy, exempt_private_ips=False)

    case.limiters = {kind: limiter(size) for kind, size in sizes(case.setting).items()}


def _account_of(request):
    return request.account


class Halt(Case):
    def open(self):
        import redis
        from halt.stores.redis import RedisStore

        self._client = redis.Redis.from_url(self.setting.url)
        _halt(self, RedisStore(self._client, fail_mode="closed"))

    def hit(self, account):
        return self.limiters[account[0]].check(SimpleNamespace(account=account)).allowed

    def close(self):
        self._client.close()


class HaltAsync(Case):
    asynchronous = True

    async def open(self):
        import redis.asyncio
        from halt.stores.redis import AsyncRedisStore

        self._client = redis.asyncio.Redis.from_url(self.setting.url, max_connections=MANY)
        _halt(self, AsyncRedisStore(self._client, fail_mode="closed"))

    async def hit(self, account):
        return (await self.limiters[account[0]].acheck(SimpleNamespace(account=account))).allowed

    async def close(self):
        await self._client.aclose()


CASES = {
    "limits-fixed": LimitsFixed,
    "limits-fixed-stats": LimitsFixedStats,
    "limits-sliding": LimitsSliding,
    "limits-sliding-stats": LimitsSlidingStats,
    "limits-two-async": LimitsTwoAsync,
    "limits-three-async": LimitsThreeAsync,
    "limits-fixed-async": LimitsFixedAsync,
    "limits-fixed-stats-async": LimitsFixedStatsAsync,
    "limits-sliding-async": LimitsSlidingAsync,
    "limits-sliding-stats-async": LimitsSlidingStatsAsync,
    "throttled": Throttled,
    "throttled-async": ThrottledAsync,
    "pyrate": Pyrate,
    "pyrate-async": PyrateAsync,
    "halt": Halt,
    "halt-async": HaltAsync,
}
