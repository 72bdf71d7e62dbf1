"""First passwords, and which licences can still be given."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cache
from math import prod

from sds_daemon.targets.base import Sku

PASSWORD_LENGTH = 16
# Without characters that are mistaken for one another on paper (0 O o, 1 l I, 5 S, 2 Z), and without symbols that a
# spreadsheet or a shell would take for something else.
_LOWER = "abcdefghijkmnpqrstuvwxyz"
_UPPER = "ABCDEFGHJKLMNPQRTUVWXY"
_DIGITS = "346789"
_SYMBOLS = "!#%?*"
_CLASSES = (_LOWER, _UPPER, _DIGITS, _SYMBOLS)


def make_password(length: int = PASSWORD_LENGTH) -> str:
    """A random password with all four character classes, beginning with a letter (about 90 bits at 16 characters).

    Entra asks for 8 to 256 characters of three classes (Entra docs: password policies). All is drawn at once: the
    digits of one random number choose the characters, and then their order.
    """
    sets, places, choices = _draw(length)
    number = secrets.randbelow(choices)
    chosen: list[str] = []
    for chars in sets:
        number, which = divmod(number, len(chars))
        chosen.append(chars[which])
    for place in places:  # all but the first, by Fisher and Yates
        number, which = divmod(number, place - 1)
        chosen[place - 1], chosen[which + 1] = chosen[which + 1], chosen[place - 1]
    return "".join(chosen)


@cache
def _draw(length: int) -> tuple[tuple[str, ...], range, int]:
    """The characters to choose from one after another, the places to shuffle, and how many outcomes there are."""
    sets = (*_CLASSES, *["".join(_CLASSES)] * (length - len(_CLASSES)))
    places = range(length, 2, -1)
    return sets, places, prod(map(len, sets)) * prod(place - 1 for place in places)


class Licenses:
    """The tenant's subscriptions, by part number or id; remembers which ran out while writing."""

    def __init__(self, skus: Mapping[str, Sku]) -> None:
        self._ids: dict[str, str] = {}
        for sku in skus.values():
            self._ids[sku.part_number.lower()] = sku.id
            self._ids[sku.id.lower()] = sku.id
        self._exhausted: set[frozenset[str]] = set()

    def resolve(self, names: Iterable[str]) -> tuple[list[str], list[str]]:
        """Ids of the subscriptions named, and the names the tenant does not own."""
        ids: list[str] = []
        unknown: list[str] = []
        for name in names:
            found = self._ids.get(str(name).lower())
            if found is None:
                unknown.append(str(name))
            elif found not in ids:
                ids.append(found)
        return ids, unknown

    def out_of_seats(self, ids: Iterable[str]) -> None:
        """Graph said that one of these has no seat left."""
        self._exhausted.add(frozenset(ids))

    def exhausted(self, ids: Iterable[str]) -> bool:
        """Whether asking for these was refused before in this run, for want of seats."""
        return frozenset(ids) in self._exhausted
