"""The files of `entitlements init`: one policy and one list of accounts, and a program for each framework."""

from __future__ import annotations

POLICY = """\
policy: {version: 1}

features: # switches: a tier has them or not
  export: Download everything as one file

limits: # how each is counted; the sizes are part of the tiers
  api: {kind: rate}
  leads: {kind: quota, period: month}

tiers: # the higher rank is the higher tier
  free:
    rank: 1
    limits: {api: 5 per minute, leads: 100}
  pro:
    rank: 2
    features: [export]
    limits: {api: 1000 per minute, leads: unlimited}

routes: # what a request needs and takes; the first rule that matches counts
  - {path: /export, requires: [export], consumes: {api: 1}}
  - {path: /leads, consumes: {api: 1, leads: 1}}
"""

ACCOUNTS = """\
id,tier
acme,free
globex,pro
"""

_ENFORCER = """\
enforcer = {kind}(Policy.load("policy.yaml"), accounts="accounts.csv", store="memory://")
identify = api_key({{"demo": "acme", "other": "globex"}})
"""
_ASYNC = _ENFORCER.format(kind="AsyncEnforcer")
_SYNC = _ENFORCER.format(kind="Enforcer")

FASTAPI = f"""\
from fastapi import FastAPI

from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.fastapi import install
from entitlements.http.identify import api_key

{_ASYNC}
app = FastAPI()
install(app)
app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=identify))


@app.get("/leads")
async def leads():
    return "leads"


@app.get("/export")
async def export():
    return "export"
"""

STARLETTE = f"""\
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.eager import checked
from entitlements.http.identify import api_key
from entitlements.integrations.starlette import install

{_ASYNC}

async def leads(request):
    return PlainTextResponse("leads")


async def export(request):
    return PlainTextResponse("export")


app = Starlette(routes=[Route("/leads", leads), Route("/export", export)])
install(app)
app.add_middleware(checked(EntitlementsMiddleware, enforcer=enforcer, identify=identify))
"""

LITESTAR = f"""\
from litestar import Litestar, get

from entitlements import AsyncEnforcer, Policy
from entitlements.http.asgi import EntitlementsMiddleware
from entitlements.http.identify import api_key
from entitlements.integrations.litestar import exception_handlers

{_ASYNC}

@get("/leads")
async def leads() -> str:
    return "leads"


@get("/export")
async def export() -> str:
    return "export"


app = Litestar([leads, export], exception_handlers=exception_handlers())
app = EntitlementsMiddleware(app, enforcer=enforcer, identify=identify)
"""

FLASK = f"""\
from flask import Flask

from entitlements import Enforcer, Policy
from entitlements.http.identify import api_key
from entitlements.integrations.flask import Entitlements

{_SYNC}
app = Flask(__name__)
Entitlements(app, enforcer=enforcer, identify=identify)


@app.get("/leads")
def leads():
    return "leads"


@app.get("/export")
def export():
    return "export"
"""

DJANGO = """\
import sys

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.urls import path

from entitlements.http.identify import api_key

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    INSTALLED_APPS=["entitlements.integrations.django"],
    MIDDLEWARE=["entitlements.integrations.django.EntitlementsMiddleware"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="replace this",
    ENTITLEMENTS={
        "POLICY": "policy.yaml",
        "ACCOUNTS": "accounts.csv",
        "STORE": "memory://",
        "IDENTIFY": api_key({"demo": "acme", "other": "globex"}),
    },
)
urlpatterns = [
    path("leads", lambda request: HttpResponse("leads")),
    path("export", lambda request: HttpResponse("export")),
]
app = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
"""

PROGRAMS = {"fastapi": FASTAPI, "starlette": STARLETTE, "litestar": LITESTAR, "flask": FLASK, "django": DJANGO}
"""The program for each framework."""

COMMANDS = {
    "fastapi": "uvicorn main:app --port 8000",
    "starlette": "uvicorn main:app --port 8000",
    "litestar": "uvicorn main:app --port 8000",
    "flask": "flask --app main run --port 8000",
    "django": "python main.py runserver 8000 --noreload",
}
"""The command that serves it, on port 8000."""


def files_of(framework: str) -> dict[str, str]:
    """Return the files of a project by name."""
    return {"policy.yaml": POLICY, "accounts.csv": ACCOUNTS, "main.py": PROGRAMS[framework]}
