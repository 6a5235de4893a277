"""Alias of `entitlements.http.eager`, kept for programs that import it by this name."""

from entitlements.http.eager import checked

__all__ = ["checked"]
