"""Types of plain scalars, by the core schema of YAML 1.2; numbers are exact."""

from __future__ import annotations

import re
from decimal import Decimal

from entitlements.model.names import shown
from entitlements.policy.errors import InvalidValue

Scalar = bool | int | Decimal | str | None

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INT = re.compile("[-+]?[0-9]+")
_OTHER_INT = re.compile("0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_MAX_DIGITS = 40
_MAX_EXPONENT = 30
_SURROGATE = re.compile("[\ud800-\udfff]")


def typed_scalar(text: str) -> Scalar:
    """
    Return the value of the plain scalar *text*: None, a bool, an int, a Decimal or a str.

    Raises:
        ValueError: For a number that is too long, too large, or not finite (`.inf`, `.nan`).
    """
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(_short(text))
    if _OTHER_INT.fullmatch(text):
        return int(_short(text), 0)
    if _FLOAT.fullmatch(text):
        return _decimal(_short(text))
    if _NOT_FINITE.fullmatch(text):
        cure = "write unlimited" if text.lower() in {".inf", "+.inf"} else "write a number"
        raise InvalidValue(f"{text} is not a number to count with", f"{cure}, or quote it if it is a text")
    return checked_text(text)


def is_number(text: str) -> bool:
    """Return True if *text* has the form of a decimal number."""
    return bool(_FLOAT.fullmatch(text))


def checked_text(text: str) -> str:
    """
    Return *text* if it can be encoded.

    Raises:
        ValueError: For lone surrogates, which no encoding allows.
    """
    if found := _SURROGATE.search(text):
        raise InvalidValue(f"{shown(text)} holds the lone surrogate {found[0]!r}", "write the character itself")
    return text


def _short(text: str) -> str:
    if len(text) > _MAX_DIGITS:
        raise InvalidValue(f"{shown(text)} is a number of {len(text)} characters", "write a shorter one, or quote it")
    return text


def _decimal(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        number = None
    if number is None or abs(number.adjusted()) > _MAX_EXPONENT:
        raise InvalidValue(f"{text} is out of range", "write a number with fewer digits, or quote it")
    return number
