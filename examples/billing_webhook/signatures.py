"""Signatures of webhooks: an HMAC over time and body, compared in constant time."""

from __future__ import annotations

import hmac
import time
from hashlib import sha256

TOLERANCE = 300  # seconds; an older signature may be a recorded request


class SignatureError(Exception):
    """A request that the provider has not signed, or not lately."""


def check_signature(secret: bytes, header: str, body: bytes, *, now: float | None = None) -> None:
    """
    Check the header `billing-signature: t=<Unix time>,v1=<hex>` of a request.

    Several `v1` may stand there while the secret is being changed; one of them must fit.

    Raises:
        SignatureError: If none does, or the time is not within five minutes of *now*.
    """
    pairs = [part.strip().partition("=") for part in header.split(",")]
    times = [value for name, _, value in pairs if name == "t" and value.isascii() and value.isdigit()]
    given = [value for name, _, value in pairs if name == "v1"]
    if len(times) != 1 or not given:
        raise SignatureError("the signature is missing; it must be: billing-signature: t=<Unix time>,v1=<hex>")
    expected = signature_of(secret, times[0], body).encode()
    fits = [hmac.compare_digest(expected, each.encode("utf-8", "replace")) for each in given]  # all of them, always
    if not any(fits):
        raise SignatureError("the signature is wrong; check the secret of the endpoint")
    if abs((time.time() if now is None else now) - int(times[0][:15])) > TOLERANCE:
        raise SignatureError(f"the signature is more than {TOLERANCE} s old or ahead; check the clocks")


def signature_of(secret: bytes, at: str, body: bytes) -> str:
    """Return the signature of a body, in hex."""
    return hmac.new(secret, at.encode() + b"." + body, sha256).hexdigest()
