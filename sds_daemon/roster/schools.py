"""Which school an operator means by what is written in `schools`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sds_daemon.roster.records import School


def schools_named(schools: Iterable[School], entry: str) -> list[School]:
    """The schools with this name (whole, any case) or number."""
    wanted = entry.strip().casefold()
    return [school for school in schools if wanted and wanted in (school.name.casefold(), school.number.casefold())]


def entries_known_before(schools: Iterable[School], entries: Iterable[str], known: Mapping[str, str]) -> list[str]:
    """A sentence for each entry that names none of `schools` but did once. `known`: the SIS ID it meant then."""
    there = {school.id: school for school in schools}
    sentences = []
    for entry in entries:
        if entry in known and not schools_named(there.values(), entry):
            school = there.get(known[entry])
            called = f"is now called {school.name} ({school.number})" if school else "is no longer listed"
            sentences.append(f"the school written as {entry!r} in `schools` {called}: change config.toml")
    return sentences


def schools_meant(schools: Iterable[School], entries: Iterable[str], known: Mapping[str, str]) -> dict[str, str]:
    """The SIS ID each entry means: of the one school it names, else of the one it meant before."""
    there = list(schools)
    meant: dict[str, str] = {}
    for entry in entries:
        found = schools_named(there, entry)
        if len(found) == 1:
            meant[entry] = found[0].id
        elif entry in known:
            meant[entry] = known[entry]
    return meant
