"""A visit: one request to the console with its rights, and the response to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlencode

from starlette.responses import HTMLResponse, RedirectResponse, Response

from entitlements.console.tokens import new_session
from entitlements.model.names import FORBIDDEN, check_id

if TYPE_CHECKING:
    from jinja2 import Environment
    from starlette.requests import Request

    from entitlements.console.access import Access
    from entitlements.console.calls import AwaitedEnforcer
    from entitlements.console.directory import AccountDirectory
    from entitlements.console.refusals import RecentRefusals
    from entitlements.console.tokens import Tokens
    from entitlements.model.account import Account
    from entitlements.model.policy import PolicyData

MAX_BODY = 16_384
"""Bytes of a form that are read."""
MAX_FIELDS = 40


class PageError(Exception):
    """A request cannot be answered: the status, and a sentence with the cure."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True, slots=True)
class ConsoleParts:
    """
    The parts that all pages share.

    Args:
        enforcer: Decides.
        directory: The accounts.
        refusals: The hook that keeps refusals; None without one.
        templates: The templates.
        tokens: Signs forms.
    """

    enforcer: AwaitedEnforcer
    directory: AccountDirectory
    refusals: RecentRefusals | None
    templates: Environment
    tokens: Tokens


@dataclass(frozen=True, slots=True)
class Visit:
    """
    One request with its rights.

    Args:
        services: The parts that all pages share.
        request: The request.
        access: The rights of its sender.
    """

    services: ConsoleParts
    request: Request
    access: Access

    @property
    def policy(self) -> PolicyData:
        """The policy in force."""
        return self.services.enforcer.policy

    @property
    def root(self) -> str:
        """The path below which the console is mounted, without a slash at its end."""
        return mounted_at(self.request.scope)

    @property
    def unchangeable(self) -> str:
        """The reason that this visitor cannot change accounts; empty if they can."""
        return self.services.directory.unchangeable or (
            "" if self.access.write else "You may read here, and change nothing."
        )

    def link(self, page: str = "", /, **params: object) -> str:
        """Return the path of a page with parameters; None and empty ones are left out."""
        query = urlencode({name: str(value) for name, value in params.items() if value not in (None, "")})
        return f"{self.root}/{page}{f'?{query}' if query else ''}"

    def param(self, name: str, *, most: int = 256) -> str:
        """
        Return a parameter of the query, empty if it is not given.

        Raises:
            PageError: If it is given twice, is too long, or holds control characters, which some databases refuse.
        """
        given = self.request.query_params.getlist(name)
        if len(given) > 1:
            raise PageError(400, f"The parameter {name} is given {len(given)} times; give it once.")
        text = given[0] if given else ""
        if len(text) > most:
            raise PageError(400, f"The parameter {name} has {len(text)} characters; {most} are the most.")
        if FORBIDDEN.search(text):
            raise PageError(400, f"The parameter {name} holds control characters; leave them out.")
        return text

    async def account(self, id: str) -> Account:
        """
        Return an account that this visitor may see.

        Raises:
            PageError: For an id that is none, and for an account that is unknown or may not be seen.
        """
        try:
            check_id(id)
        except ValueError as error:
            raise PageError(400, f"{str(error)[:1].upper()}{str(error)[1:]}.") from None
        found = await self.services.directory.find(id) if self.access.sees(id) else None
        if found is None:
            raise PageError(404, f"There is no account {id!r}.")
        return found

    async def form(self) -> dict[str, str]:
        """
        Return the fields of a form that was sent.

        Raises:
            PageError: For another content type, a body that is too long or malformed, and a field that is sent twice.
        """
        kind = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/x-www-form-urlencoded":
            raise PageError(415, "A form is sent as application/x-www-form-urlencoded.")
        body = b""
        async for part in self.request.stream():
            body += part
            if len(body) > MAX_BODY:
                raise PageError(413, f"The form has more than {MAX_BODY} bytes.")
        try:
            pairs = parse_qsl(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
        except ValueError:
            raise PageError(400, "The form cannot be read.") from None
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise PageError(400, "The form has a field twice.")
        return fields

    def render(self, template: str, /, status: int = 200, **values: Any) -> Response:
        """Return a page."""
        text = self.services.templates.get_template(template).render(visit=self, link=self.link, **values)
        return HTMLResponse(text, status)

    def render_form(
        self, template: str, /, purpose: Mapping[str, tuple[str, ...]], status: int = 200, **values: Any
    ) -> Response:
        """Return a page with forms: it has a signed token for each purpose, and the cookie that they belong to."""
        tokens = self.services.tokens
        known = tokens.session(self.request)
        session = known or new_session()
        issued = {name: tokens.issue(session, *parts) for name, parts in purpose.items()}
        response = self.render(template, status, tokens=issued, **values)
        if known is None:
            tokens.start(response, self.request, session, f"{self.root}/")
        return response

    def accepts(self, token: str, *purpose: str) -> bool:
        """Return whether a token was issued to this visitor for a purpose."""
        tokens = self.services.tokens
        return tokens.accepts(token, tokens.session(self.request), *purpose)

    def redirect(self, page: str, /, **params: object) -> Response:
        """Return a redirect to a page of the console."""
        return RedirectResponse(self.link(page, **params), 303)


Page = Callable[[Visit], Awaitable[Response]]


def mounted_at(scope: Mapping[str, Any]) -> str:
    """Return the path below which an application is mounted, as it stands in a link: it never names another host."""
    root = str(scope.get("root_path", "")).strip("/\\")
    return f"/{quote(root, safe='/-._~')}" if root else ""
