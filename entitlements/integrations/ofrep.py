"""
OFREP: the endpoint of the OpenFeature Remote Evaluation Protocol, for applications in other languages.

    app = OfrepApp(AsyncEnforcer(policy, accounts=…))

An ASGI application by itself, or mounted below a path. It needs no SDK. It has no authentication: who may ask about
which account is for the application around it to decide.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from entitlements.http.types import Receive, Scope, Send, header_values, path_of
from entitlements.integrations.flag_source import FlagSource
from entitlements.integrations.flags import FlagError, FlagEvaluation, FlagReason, flag_keys
from entitlements.integrations.json_app import UnreadableRequest, handle_other, read_object, send_json
from entitlements.model.redaction import redacted_traceback

if TYPE_CHECKING:
    from entitlements.async_enforcer import AsyncEnforcer
    from entitlements.enforcer import Enforcer
    from entitlements.model.account import Account

__all__ = ["OfrepApp"]

FLAGS = "/ofrep/v1/evaluate/flags"
REASONS = {FlagReason.DEFAULT: "STATIC", FlagReason.CACHED: "STATIC", FlagReason.STALE: "UNKNOWN"}
"""Reasons that the protocol does not have, by the one that is sent."""

_log = logging.getLogger("entitlements.http")


class OfrepApp:
    """
    ASGI application that evaluates flags over HTTP: `POST /ofrep/v1/evaluate/flags/{key}`, and without a key all flags.

    Args:
        enforcer: An `AsyncEnforcer`, or an `Enforcer`, which is called in threads.
        account: Returns the account of a context, or None if it has none; by default its `targetingKey`.
        usage: Ask the store what is used of a limit, when it is asked for alone.
    """

    def __init__(
        self,
        enforcer: Enforcer | AsyncEnforcer,
        *,
        account: Callable[[Mapping[str, Any]], str | Account | None] | None = None,
        usage: bool = True,
    ) -> None:
        self._one, self._all = FlagSource(enforcer, usage=usage), FlagSource(enforcer, usage=False)
        self._enforcer = enforcer
        self._account = account or _targeting_key

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if await handle_other(scope, receive, send):
            return
        path = path_of(scope)
        if path != FLAGS and not path.startswith(f"{FLAGS}/"):
            await send_json(send, 404, {"errorDetails": f"{path} is no path of this protocol"})
        elif scope["method"] != "POST":
            await send_json(send, 405, {"errorDetails": f"{scope['method']} is not POST"}, [(b"allow", b"POST")])
        else:
            await self._evaluate(scope, receive, send, unquote(path[len(FLAGS) + 1 :]))

    async def _evaluate(self, scope: Scope, receive: Receive, send: Send, key: str) -> None:
        named = {"key": key} if key else {}
        account: str | Account = ""
        try:
            account = self._account_of(await read_object(receive))
            if key:
                await send_json(send, 200, _success(key, await self._one.evaluate_async(account, key, None)))
            else:
                await self._send_all(scope, send, account)
        except UnreadableRequest as error:
            await send_json(send, error.status, {**named, "errorCode": "PARSE_ERROR", "errorDetails": str(error)})
        except FlagError as error:
            status = 404 if error.code == "FLAG_NOT_FOUND" else 400
            await send_json(send, status, {**named, "errorCode": error.code, "errorDetails": str(error)})
        except Exception as error:  # noqa: BLE001 - the protocol has a response for it
            trace = redacted_traceback(error, account if isinstance(account, str) else account.id)
            _log.error("evaluation of flags failed\n%s", trace, extra={"flag": key})
            await send_json(send, 500, {"errorDetails": "the evaluation failed; the server's log says why"})

    def _account_of(self, body: Mapping[str, Any]) -> str | Account:
        context = body.get("context")
        if not isinstance(context, Mapping):
            raise FlagError("INVALID_CONTEXT", "the body has no object named context")
        account = self._account(context)
        if account is None or account == "":
            raise FlagError("TARGETING_KEY_MISSING", "the context has no targetingKey, which is the id of the account")
        return account

    async def _send_all(self, scope: Scope, send: Send, account: str | Account) -> None:
        flags = []
        for key in flag_keys(self._enforcer.policy):
            try:
                flags.append(_success(key, await self._all.evaluate_async(account, key, None)))
            except FlagError as error:
                if error.code == "INVALID_CONTEXT":  # of every flag
                    raise
                flags.append({"key": key, "errorCode": error.code, "errorDetails": str(error)})
        body = {"flags": flags, "metadata": {"policy_version": self._enforcer.policy.version}}
        tag = f'"{hashlib.sha256(json.dumps(body).encode()).hexdigest()[:32]}"'.encode()
        if tag in header_values(scope, b"if-none-match"):
            await send_json(send, 304, None, [(b"etag", tag)])
        else:
            await send_json(send, 200, body, [(b"etag", tag)])


def _success(key: str, found: FlagEvaluation) -> dict[str, object]:
    """Return the answer about one flag; without a value the client takes its own default."""
    answer: dict[str, object] = {"key": key, "reason": REASONS.get(found.reason, found.reason.value)}
    if found.variant is not None:
        answer["variant"] = found.variant
    if found.value is not None:
        answer["value"] = found.value
    return answer | {"metadata": dict(found.metadata)}


def _targeting_key(context: Mapping[str, Any]) -> str | None:
    key = context.get("targetingKey")
    return key if key is None or isinstance(key, str) else str(key)
