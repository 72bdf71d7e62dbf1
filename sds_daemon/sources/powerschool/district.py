"""The frame of a read: the server's facts, its schools, their terms."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from sds_daemon.errors import SourceInvalid
from sds_daemon.roster.proof import Part, Resource, digest_of, joined_digest
from sds_daemon.roster.records import RecordKind, School, Term
from sds_daemon.sources.powerschool.client import Session
from sds_daemon.sources.powerschool.desk import Desk
from sds_daemon.sources.powerschool.normalise import Malformed, container, dig, text, whole
from sds_daemon.sources.powerschool.pages import ListCall, read_list
from sds_daemon.sources.powerschool.scope import GRADUATED_STUDENTS
from sds_daemon.sources.powerschool.wire import parse_school, parse_term

PAGED = ("course", "school", "section", "section_enrollment", "staff", "student", "term")


class Facts(msgspec.Struct, frozen=True):
    """What the server says about itself. `timezone` is an IANA name; it decides which day is today."""

    uuid: str
    timezone: str
    version: str
    page_sizes: dict[str, int]
    notices: list[str]


async def read_facts(session: Session) -> Facts:
    """The metadata; the district's uuid from /ws/v1/district where the metadata has none. Raises SourceError."""
    metadata = _member(await session.get("/ws/v1/metadata"), "metadata", "/ws/v1/metadata")
    uuid = _text(metadata, "district_uuid")
    if not uuid:
        uuid = _text(_member(await session.get("/ws/v1/district"), "district", "/ws/v1/district"), "uuid")
    if not uuid:
        raise SourceInvalid(
            "PowerSchool names no district uuid, in /ws/v1/metadata nor in /ws/v1/district",
            remedy="ask PowerSchool support: records of two servers could not be told apart without it",
        )
    timezone, notices = _timezone(metadata)
    return Facts(uuid, timezone, _text(metadata, "powerschool_version"), _page_sizes(metadata), notices)


def _member(value: Any, root: str, path: str) -> dict[str, Any]:
    try:
        if isinstance(value, dict) and root in value:
            return container(value[root])
    except Malformed:
        pass
    raise SourceInvalid(
        f"the answer for {path} holds no {root!r}", remedy="check that url leads to a PowerSchool SIS server"
    )


def _text(row: dict[str, Any], name: str) -> str:
    try:
        return text(row.get(name))
    except Malformed:
        return ""


def _timezone(metadata: dict[str, Any]) -> tuple[str, list[str]]:
    name = _text(metadata, "district_timezone")
    try:
        return ZoneInfo(name).key, []
    except (KeyError, ValueError, OSError):  # not found, not a key, a folder of the database
        return "UTC", [f"PowerSchool's district_timezone {name!r} is no time zone; days are counted in UTC"]


def _page_sizes(metadata: dict[str, Any]) -> dict[str, int]:
    sizes = {}
    for item in PAGED:
        try:
            size = whole(metadata.get(f"{item}_max_page_size"))
        except Malformed:
            continue
        if size is not None and 1 <= size <= 100_000:
            sizes[item] = size
    return sizes


async def read_schools(desk: Desk) -> list[School]:
    """The schools of the server, without the graduated students' one. Raises SourceError.

    That one is listed but not counted (PowerSchool's API pages), so it can be no part of the proof.
    """
    call = desk.call("school", "/ws/v1/district/school", uncounted=_is_graduated)
    listing = await desk.read(Resource.SCHOOLS, None, call)
    schools = list(desk.take(listing, RecordKind.SCHOOL, parse_school, "school list"))
    if not schools:
        raise SourceInvalid(
            "PowerSchool lists no school", remedy="look whether the plugin may read /ws/v1/district/school"
        )
    return schools


def _is_graduated(row: Any) -> bool:
    try:
        return text(dig(row, "school_number")) == GRADUATED_STUDENTS
    except Malformed:
        return False


async def read_terms(desk: Desk, schools: Collection[str], years: Collection[int]) -> dict[str, Term]:
    """The terms of these schools and start years, by id. Raises SourceError."""
    found = await desk.each_school("Reading terms", Resource.TERMS, schools, lambda school: _terms(desk, school, years))
    return {term.id: term for terms in found for term in terms}


async def _terms(desk: Desk, school_id: str, years: Collection[int]) -> list[Term]:
    part = Part(resource=Resource.TERMS, school_id=school_id, received=0, expected=0)
    terms: list[Term] = []
    for year in years:
        listing = await read_list(desk.session, _terms_call(desk, school_id, year))
        part.received += len(listing.rows)
        part.expected = (part.expected or 0) + listing.expected
        part.pages += listing.pages
        part.digest = joined_digest(part.digest, digest_of(listing.ids, within=str(year)))
        terms.extend(usable_terms(desk, listing.rows, school_id))
    desk.proof.parts.append(part)
    return terms


def _terms_call(desk: Desk, school_id: str, year: int) -> ListCall:
    path = f"/ws/v1/school/{school_id}/term"
    return desk.call("term", path, filters={"q": f"start_year=={year}"}, count_first=False)


def usable_terms(desk: Desk, rows: Iterable[Any], school_id: str) -> list[Term]:
    """The terms among the rows. One that cannot be used is a notice; the sections that need it become problems."""
    terms = []
    for row in rows:
        parsed = parse_term(row, school_id)
        if parsed.value is not None:
            terms.append(parsed.value)
        for fault in parsed.faults:
            desk.notice(f"term {parsed.id or 'without id'} of school {school_id}: {fault}")
    return terms
