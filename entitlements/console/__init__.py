"""
A console in the browser: accounts, what they may do and why, and changes of them.

    app.mount("/entitlements", Console(enforcer, accounts, authorise=authorise))

An ASGI application of server-rendered pages; no page needs a script. Begin with `app.py`. `access.py` says who may
see and change what, `directory.py` reads accounts, `forms.py` has the changes, and `pages/` has the pages.
"""

from __future__ import annotations

from entitlements.extras import extra

with extra("console", "Starlette and Jinja", __name__):
    import jinja2  # noqa: F401 - named here, before the modules below need it
    import starlette  # noqa: F401 - as above

from entitlements.console.access import Access
from entitlements.console.app import Console
from entitlements.console.refusals import RecentRefusals

__all__ = ["Access", "Console", "RecentRefusals"]
