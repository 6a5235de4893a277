"""The example API, loaded from its file and served, and what talks to it."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
from pathlib import Path

import httpx
from webserver import serving

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "leads_api"


@contextlib.contextmanager
def example(folder, store=""):
    """Serve the API with a database in *folder*, and yield its module and its URL; the memory store by default."""
    settings = {"LEADS_DATABASE": str(folder / "leads.db"), "ENTITLEMENTS_STORE": store}
    spec = importlib.util.spec_from_file_location("leads_api_app", EXAMPLE / "app.py")
    module = importlib.util.module_from_spec(spec)
    os.environ |= settings
    try:
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        with serving(module.app) as url:
            yield module, url
    finally:
        for name in settings:
            os.environ.pop(name, None)
        sys.modules.pop(spec.name, None)
        sys.path.remove(str(EXAMPLE))


@contextlib.contextmanager
def asking(url):
    """Yield what sends a request with an account's key: `client(method, path, account, **body)`."""
    with httpx.Client(base_url=url, timeout=60) as client:
        yield lambda method, path, account, **body: client.request(
            method, path, headers={"x-api-key": f"demo-{account}"}, **body
        )
