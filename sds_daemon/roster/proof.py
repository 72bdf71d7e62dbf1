"""Proof that a part of the source was read whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Resource(StrEnum):
    """What a part counts."""

    SCHOOLS = "schools"
    TERMS = "terms"
    COURSES = "courses"
    SECTIONS = "sections"
    STUDENTS = "students"
    STAFF = "staff"
    ENROLLMENTS = "enrollments"


class Part(msgspec.Struct, kw_only=True):
    """One resource of one school (None: of the district).

    `expected_before` and `expected` are the source's own counts before and after the read; None where the source gives
    none. `received` counts rows after de-duplication by id. `gaps` names sub-parts (a section's SIS ID) that are
    unproved although the rest of the part is proved, each with its reason. `problem` makes the whole part unproved.
    `digest`: of the received ids, whatever their order (`digest_of`); equal digests mean the same rows.
    """

    resource: Resource
    school_id: str | None
    received: int
    expected: int | None
    expected_before: int | None = None
    pages: int = 0
    problem: str | None = None
    gaps: dict[str, str] = {}
    digest: str = ""

    @property
    def proved(self) -> bool:
        """Whether the part as a whole may be trusted for removals (sub-parts in `gaps` excepted)."""
        return self.reason is None

    @property
    def reason(self) -> str | None:
        """Why the part is unproved, or None."""
        if self.problem is not None:
            return self.problem
        if self.expected is None:
            return "the source gave no count"
        if self.expected_before is not None and self.expected_before != self.expected:
            return f"the count moved from {self.expected_before} to {self.expected} during the read"
        if self.received != self.expected and not self.gaps:
            return f"{self.received} of {self.expected} rows were received"
        return None


def digest_of(ids: Iterable[str | bytes], *, within: str = "") -> str:
    """32 hexadecimal digits for a set of ids; `within` tells the same ids of another list apart."""
    lines = sorted(each if isinstance(each, bytes) else each.encode("utf-8", "surrogatepass") for each in ids)
    return hashlib.sha256(b"\n".join([within.encode(), *lines])).hexdigest()[:32]


def joined_digest(one: str, other: str) -> str:
    """The digest of two lists together, in either order; an empty text is the digest of nothing."""
    return f"{int(one or '0', 16) ^ int(other or '0', 16):032x}"


class Proof(msgspec.Struct):
    """The parts of a snapshot."""

    parts: list[Part] = []

    def part(self, resource: Resource, school_id: str | None) -> Part | None:
        """The part of one resource and school, or None where it was not read."""
        for part in self.parts:
            if part.resource == resource and part.school_id == school_id:
                return part
        return None

    def doubt(self, resource: Resource, school_id: str | None, sub_part: str | None = None) -> str | None:
        """Why nothing may be removed on the strength of this part; None when it is proved."""
        part = self.part(resource, school_id)
        if part is None:
            return f"{resource} of school {school_id} were not read"
        if part.reason is not None:
            return part.reason
        return part.gaps.get(sub_part) if sub_part is not None else None

    def unproved(self) -> list[Part]:
        """Parts that are unproved, whole or in a sub-part."""
        return [part for part in self.parts if not part.proved or part.gaps]
