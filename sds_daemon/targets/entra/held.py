"""What objects of ours hold, under neutral names: read back for those found by their mark (a lost database)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.targets.entra import bodies
from sds_daemon.targets.entra.members import BatchReader

Values = dict[str, str]


async def held_values(
    reader: BatchReader, objects: Mapping[Ref, str], *, education: bool, class_api: str
) -> dict[Ref, Values]:
    """Attributes set on each object; records whose object is gone are left out. Raises TargetError and Interrupted."""
    wanted = {ref: list(_reads(ref, object_id, education, class_api)) for ref, object_id in objects.items()}
    found = await reader.documents([url for reads in wanted.values() for url, _ in reads])
    held: dict[Ref, Values] = {}
    for ref, reads in wanted.items():
        documents = [(found[url], fields) for url, fields in reads]
        if all(document is not None for document, _ in documents):
            held[ref] = {
                name: value
                for document, fields in documents
                for name, value in bodies.values_in(document or {}, fields).items()
            }
    return held


def _reads(ref: Ref, object_id: str, education: bool, class_api: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Path and attributes of each read of one object."""
    for collection, fields in _places(ref.kind, education, education and class_api == "education"):
        names = dict.fromkeys(field.part or field.json for field in fields.values())
        yield f"/{collection}/{object_id}?$select=id,{','.join(names)}", fields


def _places(kind: RecordKind, education: bool, education_class: bool) -> list[tuple[str, Mapping[str, bodies.Field]]]:
    if kind is RecordKind.SCHOOL:
        if education:
            return [("education/schools", bodies.SCHOOL)]
        return [("directory/administrativeUnits", bodies.UNIT)]
    if kind is RecordKind.SECTION:
        if education_class:
            return [("education/classes", bodies.CLASS), ("groups", bodies.extension_fields(bodies.CLASS_EXTRAS))]
        extended = bodies.extension_fields(bodies.GROUP_EXTRAS) if education else {}
        return [("groups", {**bodies.GROUP, **extended})]
    if not education:
        return [("users", bodies.ACCOUNT)]
    person = bodies.TEACHER if kind is RecordKind.TEACHER else bodies.STUDENT
    return [("education/users", person), ("users", bodies.extension_fields(bodies.USER_EXTRAS))]
