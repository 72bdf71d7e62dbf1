"""The schools a profile means."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sds_daemon.errors import ConfigurationError
from sds_daemon.roster.records import School
from sds_daemon.roster.schools import schools_named
from sds_daemon.sources.base import Scope

DISTRICT_OFFICE = "0"
GRADUATED_STUDENTS = "999999"
SPECIAL_NUMBERS = frozenset({DISTRICT_OFFICE, GRADUATED_STUDENTS})


def choosable(schools: Iterable[School]) -> list[School]:
    """The real schools, by name and number: without the district office (0) and the graduated students (999999)."""
    real = (school for school in schools if school.number not in SPECIAL_NUMBERS)
    return sorted(real, key=lambda school: (school.name.casefold(), school.number, school.id))


def select_schools(
    schools: Iterable[School], wanted: str | tuple[str, ...], known: Mapping[str, str] | None = None
) -> dict[str, School]:
    """The schools named, keyed by id: all of them, or by name (whole, any case) or school number.

    An entry of `known` that names none means the school with that id, or nothing where that is gone. Raises
    ConfigurationError that lists every other entry that names no school or several, and the choices; and when none of
    the schools is left.
    """
    real = choosable(schools)
    if not real:
        raise ConfigurationError(
            "PowerSchool lists no school besides the district office and the graduated students",
            remedy="set up the schools in PowerSchool, and look whether url leads to the right server",
        )
    if wanted == "all":
        return {school.id: school for school in real}
    entries = (wanted,) if isinstance(wanted, str) else wanted
    chosen: dict[str, School] = {}
    faults: list[str] = [] if entries else ["schools = [] names no school"]
    for entry in entries:
        found = schools_named(real, entry)
        remembered = (known or {}).get(entry)
        if not found and remembered is not None:
            chosen.update({school.id: school for school in real if school.id == remembered})
        elif len(found) == 1:
            chosen[found[0].id] = found[0]
        else:
            faults.append(_fault(entry, found))
    if not chosen and not faults:
        faults.append(f"schools: none of {', '.join(entries)} is listed any more")
    if faults:
        raise ConfigurationError("; ".join(faults), remedy=f'set schools to "all" or to some of: {_listed(real)}')
    return chosen


def schools_in_scope(schools: Iterable[School], scope: Scope) -> dict[str, School]:
    """The schools of a scope, keyed by id, none of them another profile's.

    Raises ConfigurationError as select_schools does, and for each school that `scope.others` names as well.
    """
    real = choosable(schools)
    chosen = select_schools(real, scope.schools, scope.known)
    faults = []
    for profile, wanted in sorted(scope.others.items()):
        both = [school for school in _meant(real, wanted) if school.id in chosen]
        if both:
            faults.append(f"schools: profile {profile} has {_listed(both)} too")
    if faults:
        raise ConfigurationError("; ".join(faults), remedy="give each school to one profile")
    return chosen


def _meant(schools: list[School], wanted: str | tuple[str, ...]) -> list[School]:
    """Whatever another profile's entries mean; an entry that means none or several is that profile's own fault."""
    if wanted == "all":
        return schools
    found = (schools_named(schools, entry) for entry in wanted)
    return list({named[0].id: named[0] for named in found if len(named) == 1}.values())


def _fault(entry: str, found: list[School]) -> str:
    if not found:
        return f"schools: no school has the name or number {entry!r}"
    return f"schools: {entry!r} is {len(found)} schools ({_listed(found)}); use the number"


def _listed(schools: list[School]) -> str:
    return ", ".join(f"{school.name or '(no name)'} ({school.number or 'no number'})" for school in schools) or "none"
