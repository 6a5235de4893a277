"""Public alias of `entitlements.stores.resilience.store`: `Outage` and `AsyncOutage` are its two stores."""

from entitlements.stores.resilience.store import AsyncResilientStore as AsyncOutage
from entitlements.stores.resilience.store import ResilientStore as Outage

__all__ = ["AsyncOutage", "Outage"]
