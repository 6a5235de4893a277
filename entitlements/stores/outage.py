"""Alias of `entitlements.stores.resilience.store`, kept for programs that import it by this name."""

from entitlements.stores.resilience.store import AsyncOutage, Outage

__all__ = ["AsyncOutage", "Outage"]
