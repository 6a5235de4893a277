"""Names of the policy; written by `entitlements codegen`, which writes it again after a change of the policy."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, overload

import entitlements
from entitlements.typed import (
    TypedAsyncBoundAccount,
    TypedAsyncEnforcer,
    TypedBoundAccount,
    TypedCan,
    TypedEnforcer,
)

if TYPE_CHECKING:
    from entitlements import AsyncEnforcer, Enforcer
    from entitlements.handles import AsyncBoundAccount, BoundAccount

FeatureName: TypeAlias = Literal[
    "raw-files",
    "print-shop",
    "client-galleries",
    "watermark",
    "editing",
    "color",
    "editing:none",
    "editing:filters",
    "editing:layers",
    "color:srgb",
    "color:adobe-rgb",
    "color:prophoto",
]
"""Features, and `feature:level`."""

LimitName: TypeAlias = Literal[
    "downloads",
    "previews",
    "renders",
    "prints",
    "albums",
    "storage",
]
"""Limits."""

ValueKey: TypeAlias = Literal[
    "color",
    "editing",
    "price",
    "price.discount-percent",
    "price.month",
    "support",
    "support.help-pages",
    "support.phone",
    "support.reply",
    "support.reply.label",
    "support.visits",
]
"""Configuration values, the nodes above them, and features with levels."""

TierName: TypeAlias = Literal[
    "visitor",
    "hobby",
    "studio",
    "agency",
    "studio-trial",
]
"""Tiers."""

AddOnName: TypeAlias = Literal[
    "more-storage",
    "help-desk",
]
"""Add-ons."""


class Feature(StrEnum):
    """Features and their levels."""

    RAW_FILES = "raw-files"
    PRINT_SHOP = "print-shop"
    CLIENT_GALLERIES = "client-galleries"
    WATERMARK = "watermark"
    EDITING = "editing"
    COLOR = "color"
    EDITING_NONE = "editing:none"
    EDITING_FILTERS = "editing:filters"
    EDITING_LAYERS = "editing:layers"
    COLOR_SRGB = "color:srgb"
    COLOR_ADOBE_RGB = "color:adobe-rgb"
    COLOR_PROPHOTO = "color:prophoto"


class Limit(StrEnum):
    """Limits."""

    DOWNLOADS = "downloads"
    PREVIEWS = "previews"
    RENDERS = "renders"
    PRINTS = "prints"
    ALBUMS = "albums"
    STORAGE = "storage"


Asked: TypeAlias = "FeatureName | LimitName | Feature | Limit"
"""Names that `can` and `decide` know."""
Counted: TypeAlias = "LimitName | Limit"
"""Names that `consume` knows."""

can = cast("TypedCan[Asked]", entitlements.can)
"""The module-level `can`."""


@overload
def typed(enforcer: Enforcer) -> TypedEnforcer[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: AsyncEnforcer) -> TypedAsyncEnforcer[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: BoundAccount) -> TypedBoundAccount[Asked, Counted, ValueKey]: ...
@overload
def typed(enforcer: AsyncBoundAccount) -> TypedAsyncBoundAccount[Asked, Counted, ValueKey]: ...
def typed(enforcer: object) -> object:
    """Return the same enforcer, or the same handle of an account; a type checker knows the names that it takes."""
    return enforcer
