"""
The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header-07) as the key of a request's charge.

The key of the charge is a digest of the header and of what it belongs to: the method, the path and the query. The
header is a string of a structured field; a bare token, as many clients send it, is read too.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from entitlements.http.costs import BadRequest
from entitlements.http.types import header_values

if TYPE_CHECKING:
    from entitlements.http.types import Scope

METHODS = frozenset({"POST", "PATCH"})
"""Methods that are not idempotent by themselves; a key of any other is ignored, or every GET could be a repeat."""

_KEY = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\]){1,255})"|([\x21\x23-\x2b\x2d-\x7e]{1,255})')


def idempotency_key(scope: Scope) -> str | None:
    """
    Return the key of the charge of a request; None if it names none.

    Raises:
        BadRequest: For a header that is malformed, or that stands twice.
    """
    if scope.get("method") not in METHODS:
        return None
    values = header_values(scope, b"idempotency-key")
    if not values:
        return None
    found = _KEY.fullmatch(values[0].strip()) if len(values) == 1 else None
    if found is None:
        raise BadRequest('Idempotency-Key must be one string, such as "8e03978e-40d5"')
    parts = (scope["method"].encode(), scope["path"].encode(), scope.get("query_string", b""), found[1] or found[2])
    return "http:" + hashlib.sha256(b"\n".join(parts)).hexdigest()
