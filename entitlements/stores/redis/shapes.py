"""
Scripts of common charges, assembled for the shape of a charge: the kinds of its parts, in order.

Each call of a script creates every function of its text again, which takes longer than the charge itself. So the script
of a shape has none of them: a fragment for each part (`lua/shapes/`) evaluates it, then all are written, or none.
Where a fragment meets what is rare (a new period, a lapsed reservation, a clock that stepped back, a corrupt field),
nothing has been written, and the general code that follows in the same script carries the charge out.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from entitlements.stores.redis.scripts import CHARGE, make_script, read_text

if TYPE_CHECKING:
    from entitlements.stores.redis.scripts import Script

Shape = tuple[tuple[int, bool], ...]
"""Of each part its kind, as in `lua/codec.lua`, and whether it is kept in the hash of the scope, `KEYS[2]`."""

MOST_PARTS = 6
"""Most parts of a shape: a function in Lua has 200 local variables at most."""

_FRAGMENTS = {1: "sliding", 2: "fixed", 3: "token_bucket", 4: "quota", 5: "allocation"}
_RATES = (1, 2, 3)
_LINE = "Bi8i8i8i8i8i8i8"

_FRAME = """\
-- A charge of the shape {name}: see shapes.py.
--
-- KEYS[1]  key of the account; if parts are kept for a scope, KEYS[2] the key of the scope, KEYS[3] that of the index
-- ARGV     of each part its field and the part; then the account's version, or '' for any; then the scope, if parts are
--          kept for one; then the sequence, if quotas or allocations are among them
do
local call, unpack, pack, sub = redis.call, struct.unpack, struct.pack, string.sub
local MAX_COUNT = 9007199254740991
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
repeat
{evaluate}
if {fits} then
{take}
{write}
return pack('>Bi8I4B{format}', 0, now, 0, {count},
  {taken})
end
{refuse}
return pack('>Bi8I4B{format}', 1, now, 0, {count},
  {refused})
until true
local words, version = {{ {parts} }}, ARGV[{version}] -- as `read_charge` of ledger.lua reads them
ARGV[1] = pack('>BBBi8', 2, {recognised} + (version ~= '' and 4 or 0), {count}, 0) .. version
ARGV[2], ARGV[3] = '', ''
for at = 1, #words do ARGV[3 + at] = words[at] end
end
"""


_ENTER = f"""\
if life_2 then
{read_text("scope_index")}
  enter_scope(KEYS[3], NAME, now + life_2 * 1000, false, now)
end"""


@cache
def shape_script(shape: Shape) -> Script:
    """Return the script for charges of a shape."""
    name = "+".join(_FRAGMENTS[kind] + "@" * scoped for kind, scoped in shape)
    return make_script(name, _FRAME.format(name=name, **_parts_of(shape)) + CHARGE.text.decode())


def _parts_of(shape: Shape) -> dict[str, object]:
    """Return what fills the frame of a shape."""
    count = len(shape)
    counting = {scoped for kind, scoped in shape if kind not in _RATES}  # such a record outlives its rates
    counted, has_scope = bool(counting), any(scoped for _, scoped in shape)
    version = 2 * count + 1
    own = [f"ARGV[{version + at}]" for at in range(1, has_scope + counted + 1)]
    fragments = [_Fragment(_FRAGMENTS[kind], at, scoped=scoped) for at, (kind, scoped) in enumerate(shape, 1)]
    expiring = [
        _Fragment("expiry", at, scoped=scoped)
        for at, (kind, scoped) in enumerate(shape, 1)
        if kind in _RATES and scoped not in counting
    ]
    sequence = [_Fragment("sequence", count, scoped=False, ID=version + has_scope + 1)] if counted else []
    if counting == {True}:
        expiring.append(_Fragment("sequence_expiry", count, scoped=False))
    ends = [
        f"if life_{home} then call('PEXPIRE', KEYS[{home}], life_{home}) end"
        for home in {each.home for each in expiring}
    ]
    if any(each.home == 2 for each in expiring):
        ends.append(_ENTER.replace("NAME", own[0]))
    each = "\n".join
    return {
        "count": count,
        "format": _LINE * count,
        "evaluate": each([_reading(fragments, counting, own[-1:]), *_all([*sequence, *fragments], "evaluate")]),
        "fits": " and ".join(f"fits_{at}" for at in range(1, count + 1)),
        "take": each([*_all([*fragments, *sequence], "take"), "local life_1, life_2", *_all(expiring, "take")]),
        "write": each([_writing(fragments, sequence), *ends]),
        "taken": ",\n  ".join(_all(fragments, "taken")),
        "refuse": each(_all(fragments, "refuse")),
        "refused": ",\n  ".join(_all(fragments, "refused")),
        "parts": ", ".join([*[f"ARGV[{2 * at}]" for at in range(1, count + 1)], *own]),
        "version": version,
        "recognised": 2 if counted else 0,
    }


def _reading(fragments: list[_Fragment], counting: set[bool], sequence: list[str]) -> str:
    """
    Return the code that reads the fields of all parts, with one command per hash.

    Args:
        fragments: Those of the parts.
        counting: Of each home that holds quotas or allocations, whether it is the scope.
        sequence: Where the sequence is, if there are quotas or allocations.
    """
    lines, version = [], 2 * len(fragments) + 1
    if counting:
        lines.append(f"local producer = 's' .. sub({sequence[0]}, 1, 8)")
    for home in (1, 2):
        own = [each for each in fragments if each.home == home]
        first = ["'b1'", "producer"] if counting and home == 1 else ["'b1'"] if home == 2 and True in counting else []
        fields = [*first, *[f"ARGV[{2 * each.at - 1}]" for each in own], *["'v'"] * (home == 1)]
        texts = [f"found_{home}[{at}]" for at in range(len(first) + 1, len(fields) + 1)]
        if len(fields) == 1:
            texts = [f"call('HGET', KEYS[{home}], {fields[0]})"]
        elif fields:
            lines.append(f"local found_{home} = call('HMGET', KEYS[{home}], {', '.join(fields)})")
        if home == 1:
            kept = texts.pop()
            lines.append(f"local version = {kept}\nif version and version ~= ARGV[{version}] then break end")
        elif first:
            lines.append(
                "local lapses = found_2[1]\nif lapses and (#lapses < 9 or unpack('>i8', lapses) <= now) then break end"
            )
        lines += [
            f"local key_{each.at}, field_{each.at}, part_{each.at} ="
            f" KEYS[{home}], ARGV[{2 * each.at - 1}], ARGV[{2 * each.at}]\nlocal text_{each.at} = {text}"
            for each, text in zip(own, texts, strict=True)
        ]
    return "\n".join(lines)


def _writing(fragments: list[_Fragment], sequence: list[_Fragment]) -> str:
    """Return the code that writes the fields of all parts, with one command per hash."""
    lines = []
    for home in (1, 2):
        fields = [f"field_{each.at}, {each['value']}" for each in fragments if each.home == home]
        if home == 1:
            fields += _all(sequence, "value")
        if fields:
            pairs = ",\n  ".join(fields)
            lines.append(f"call('HSET', KEYS[{home}], {pairs})")
    return "\n".join(lines)


class _Fragment:
    """
    The text of one fragment, by section; names that end with `_N` are those of the part at position *at*.

    Args:
        name: Its file in `lua/shapes/`.
        at: Position of the part, from 1.
        scoped: True if the part is kept in the hash of the scope.
        named: Other names in the text, and what stands for them.
    """

    def __init__(self, name: str, at: int, *, scoped: bool, **named: object) -> None:
        self.at, self.home = at, 1 + scoped
        text = read_text(f"shapes/{name}").replace("_HOME", f"_{self.home}")
        text = re.sub(r"\b[A-Z]+\b", lambda found: str(named.get(found[0], found[0])), text)
        _, *pieces = re.split(r"^--@ (\w+)\n", re.sub(r"_N\b", f"_{at}", text), flags=re.MULTILINE)
        self._sections = dict(zip(pieces[::2], pieces[1::2], strict=True))

    def __getitem__(self, section: str) -> str:
        return self._sections.get(section, "").rstrip("\n")


def _all(fragments: list[_Fragment], section: str) -> list[str]:
    return [each[section] for each in fragments if each[section]]
