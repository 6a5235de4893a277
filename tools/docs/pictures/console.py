"""
Pictures of the console in a headless Chromium: `docs/pictures/console-*.webp`.

    python -m tools.docs.pictures.console

It serves the policy of the customer tiers with three accounts and half a year of usage. The pages show the time at which
they are drawn, so no test holds the files equal.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from starlette.applications import Starlette

from entitlements import Enforcer, Policy
from entitlements.accounts.sql import SqlAccounts
from entitlements.clock import system_clock
from entitlements.console import Access, Console, RecentRefusals
from entitlements.model.instants import DAY
from entitlements.stores import MemoryStore

ROOT = Path(__file__).resolve().parents[3]
FOLDER = ROOT / "docs" / "pictures"
SIGNED = {"author": "support@example.com"}
MONTHS = (61_000, 74_500, 69_200, 88_000, 97_400, 100_000)
"""Leads of an account in each of the last months."""


class Shot(NamedTuple):
    """One picture: the page, its width and height in CSS pixels, and the colours."""

    path: str
    width: int = 1100
    height: int = 760
    scheme: str = "light"


SHOTS = {
    "console-entitlements": Shot("account?id=acme", height=860),
    "console-meters": Shot("account/meters?id=acme", height=960, scheme="dark"),
    "console-preview": Shot("account/preview?id=acme&tier=enterprise"),
    "console-audit": Shot("account/audit?id=acme", height=520),
    "console-plans": Shot("plans", width=1280, height=640),
    "console-phone": Shot("account/meters?id=globex", width=390, height=760),
}


class MovedClock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: int) -> None:
        self.now = now

    def __call__(self) -> int:
        """Return the time in microseconds since 1970."""
        return self.now


def furnished(folder: Path) -> Starlette:
    """Return an application with the console of accounts that have been used for half a year."""
    policy = Policy.load(ROOT / "policies" / "customer-tiers")
    accounts = SqlAccounts(f"sqlite:///{folder / 'accounts.db'}", policy=policy, listen=False)
    accounts.create_tables()
    for id, tier in {"acme": "mid-market", "globex": "small-business", "initech": "freemium"}.items():
        accounts.create(id, tier, reason="signed up", **SIGNED)
    accounts.override("acme", "agents", 120, reason="merger with a sister company", **SIGNED)
    until = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=30)
    accounts.grant("acme", "leads", 5_000, expires=until, reason="import of last year's leads", **SIGNED)
    today, refusals = system_clock(), RecentRefusals()
    clock = MovedClock(today)
    enforcer = Enforcer(policy, accounts=accounts, store=MemoryStore(clock), clock=clock, hooks=[refusals])
    for ago, leads in zip(range(len(MONTHS) - 1, -1, -1), MONTHS, strict=True):
        clock.now = today - ago * 30 * DAY
        enforcer.consume("acme", "leads", leads)
        enforcer.consume("globex", "leads", leads // 25)
    for number in range(97):
        enforcer.assign("acme", "agents", f"agent-{number}")
    enforcer.consume("acme", "storage", 71_500_000_000)
    enforcer.consume("acme", {"custom-reports": 8, "api": 640})
    enforcer.consume("globex", {"agents": 9, "standard-reports": 6})
    for what in ("custom-dashboards", "leads", "api"):
        enforcer.consume("initech", what, 60)
        enforcer.consume("globex", what, 2_000)
    app = Starlette()
    access = Access("support@example.com")
    app.mount("/", Console(enforcer, accounts, authorise=lambda _: access, refusals=refusals))
    return app


def main() -> None:
    """Draw every picture."""
    sys.path.insert(0, str(ROOT / "tests" / "helpers"))  # where the browser is
    from browser import CHROMIUM, browsing
    from webserver import serving

    if CHROMIUM is None:
        sys.exit("chromium is not on the PATH; install it to draw the console")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(furnished(Path(folder))) as origin,
        browsing(Path(folder)) as page,
    ):
        for name, shot in SHOTS.items():
            size = {"width": shot.width, "height": shot.height, "deviceScaleFactor": 1, "mobile": False}
            page.do("Emulation.setDeviceMetricsOverride", **size)
            page.do("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": shot.scheme}])
            page.open(f"{origin}/{shot.path}")
            page.ask("document.querySelectorAll('details')[1]?.setAttribute('open', '')")  # of the second limit
            drawn = page.do("Page.captureScreenshot", format="webp", quality=80)["data"]
            (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(drawn))


if __name__ == "__main__":
    main()
