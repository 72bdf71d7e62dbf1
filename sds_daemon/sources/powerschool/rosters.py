"""Who is in which section: one list a section, since v1 has no other."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec

from sds_daemon.errors import SourceError, SourceRefused
from sds_daemon.plan.issues import IssueCode
from sds_daemon.roster.proof import Part, Resource, digest_of, joined_digest
from sds_daemon.roster.records import RecordKind, Ref, Section
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.lanes import each
from sds_daemon.sources.powerschool.normalise import Malformed, identifier
from sds_daemon.sources.powerschool.pages import Listing, read_list
from sds_daemon.sources.powerschool.wire import EnrollmentRow, parse_enrollment
from sds_daemon.sources.powerschool.year import members

FEW_FAILURES = 5
FAILED_SHARE = 0.02
"""Failed section lists become gaps up to five, or two in a hundred; beyond that the read fails."""


async def read_rosters(desk: Desk, schools: Iterable[str], sections: dict[str, Section], today: date) -> None:
    """Puts the students into `sections` and files one part a school, with the unproved sections as its gaps.

    Raises SourceError when the server refuses, or when many lists fail; Interrupted.
    """
    parts = {school: _empty_part(desk, school) for school in schools}
    allowed = max(FEW_FAILURES, int(len(sections) * FAILED_SHARE))
    failures = done = 0

    async def of_section(section_id: str) -> None:
        nonlocal failures, done
        section = sections[section_id]
        part = parts[section.school_id]
        try:
            listing = await _read_section(desk, section_id)
        except SourceRefused:
            raise
        except SourceError as error:
            failures += 1
            if failures > allowed:
                raise
            part.gaps[section_id] = error.message
        else:
            rows = _usable_rows(desk, part, section_id, listing)
            _file(part, section_id, listing)
            sections[section_id] = msgspec.structs.replace(section, students=members(rows, section.term, today))
        done += 1
        desk.progress("Reading class rosters", done, len(sections))

    await each(desk.session.lanes, list(sections), of_section)
    desk.proof.parts.extend(parts.values())


def _empty_part(desk: Desk, school_id: str) -> Part:
    unknown = "its sections could not be read" if (Resource.SECTIONS, school_id) in desk.missing else None
    return Part(resource=Resource.ENROLLMENTS, school_id=school_id, received=0, expected=0, problem=unknown)


async def _read_section(desk: Desk, section_id: str) -> Listing:
    path = f"/ws/v1/section/{section_id}/section_enrollment"
    return await read_list(desk.session, desk.call("section_enrollment", path, count_first=False, careful=True))


def _file(part: Part, section_id: str, listing: Listing) -> None:
    """Adds a list to its school's part. One that never settled is a gap, and stays out of the sums."""
    part.pages += listing.pages
    part.digest = joined_digest(part.digest, digest_of(listing.ids, within=section_id))
    if listing.settled:
        part.received += len(listing.rows)
        part.expected = (part.expected or 0) + listing.expected
    else:
        got = f"{len(listing.rows)} of {listing.expected} enrollments were received"
        part.gaps.setdefault(section_id, got if listing.confirmed else f"the list moved while it was read; {got}")


def _usable_rows(desk: Desk, part: Part, section_id: str, listing: Listing) -> list[EnrollmentRow]:
    """The rows that can be read. One that cannot might be anybody's membership: it makes its section a gap."""
    rows = []
    for raw in listing.rows:
        parsed = parse_enrollment(raw, section_id)
        if parsed.value is not None:
            rows.append(parsed.value)
            continue
        detail = f"enrollment {parsed.id or 'without id'} of section {section_id}: {'; '.join(parsed.faults)}"
        part.gaps[section_id] = detail
        desk.problem(whose(raw, section_id), IssueCode.INVALID_RECORD, detail)
    return rows


def whose(raw: Any, section_id: str) -> Ref:
    """The student a broken row is about, by its `student_id`; the section where even that cannot be told."""
    try:
        student = identifier(raw.get("student_id")) if isinstance(raw, dict) else ""
    except Malformed:
        student = ""
    return Ref(RecordKind.STUDENT, student) if student else Ref(RecordKind.SECTION, section_id)
