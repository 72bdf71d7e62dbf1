"""Neutral attributes to Graph models, for tenants with the education API and for those without.

An attribute that the object cannot hold in this tenant is left out here, whatever the plan says. SDK models drop an
attribute set to None in part and misspell it in part, so attributes to be cleared travel beside the model (`clear`) and
are put into the JSON afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

import msgspec
from msgraph.generated.models.administrative_unit import AdministrativeUnit
from msgraph.generated.models.education_class import EducationClass
from msgraph.generated.models.education_course import EducationCourse
from msgraph.generated.models.education_external_source import EducationExternalSource
from msgraph.generated.models.education_school import EducationSchool
from msgraph.generated.models.education_student import EducationStudent
from msgraph.generated.models.education_teacher import EducationTeacher
from msgraph.generated.models.education_term import EducationTerm
from msgraph.generated.models.education_user import EducationUser
from msgraph.generated.models.education_user_role import EducationUserRole
from msgraph.generated.models.group import Group
from msgraph.generated.models.physical_address import PhysicalAddress
from msgraph.generated.models.user import User

from sds_daemon.roster.records import RecordKind, Ref

# Directory extension of School Data Sync, registered by Microsoft; resolvable in education tenants only.
EXTENSION = "extension_fe2174665583431c953114ff7268b7b3_Education_"


class BadAttribute(ValueError):
    """A value that cannot be put into its Graph type, such as a date that is none. `name` is the neutral name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Body(msgspec.Struct):
    """A model, and the JSON paths to send as null. `empty`: there is nothing to send."""

    model: Any
    clear: list[tuple[str, ...]] = []
    empty: bool = True


class Field(msgspec.Struct, frozen=True):
    """Where an attribute lives: SDK attribute, JSON name, sub-object ("" for the object itself).

    `choice`: the value is one of few.
    """

    attribute: str
    json: str
    part: str = ""
    convert: Callable[[str], Any] = str
    choice: bool = False


def _same(*names: str) -> dict[str, Field]:
    return {name: Field(name, _camel(name)) for name in names}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _in(part: str, **fields: str) -> dict[str, Field]:
    return {name: Field(attribute, _camel(attribute), part) for name, attribute in fields.items()}


ACCOUNT = _same(
    "user_principal_name",
    "mail_nickname",
    "usage_location",
    "display_name",
    "given_name",
    "surname",
    "department",
    "office_location",
)
_SOURCE = {
    "external_source": Field("external_source", "externalSource", "", EducationExternalSource, choice=True),
    "external_source_detail": Field("external_source_detail", "externalSourceDetail"),
}
_PERSON = {
    **ACCOUNT,
    **_SOURCE,
    **_same("middle_name"),
    "primary_role": Field("primary_role", "primaryRole", "", EducationUserRole, choice=True),
}
STUDENT = {
    **_PERSON,
    **_in("student", external_id="external_id", student_number="student_number", grade="grade"),
    **_in("student", graduation_year="graduation_year"),
    "birth_date": Field("birth_date", "birthDate", "student", date.fromisoformat),
}
TEACHER = {**_PERSON, **_in("teacher", external_id="external_id", teacher_number="teacher_number")}
CLASS = {
    **_SOURCE,
    **_same("display_name", "mail_nickname", "description", "class_code", "external_id"),
    **_in("course", course_id="external_id", course_name="display_name", course_number="course_number"),
    **_in("term", term_id="external_id", term_name="display_name"),
    "term_start": Field("start_date", "startDate", "term", date.fromisoformat),
    "term_end": Field("end_date", "endDate", "term", date.fromisoformat),
}
SCHOOL = {
    **_SOURCE,
    **_same("display_name", "external_id", "school_number", "principal_name", "principal_email", "phone"),
    "low_grade": Field("lowest_grade", "lowestGrade"),
    "high_grade": Field("highest_grade", "highestGrade"),
    **_in("address", street="street", city="city", state="state", postal_code="postal_code"),
    "country": Field("country_or_region", "countryOrRegion", "address"),
}
GROUP = _same("display_name", "mail_nickname", "description")
UNIT = _same("display_name")

USER_EXTRAS = {"state_id": "StateId", "secondary_email": "Email"}
CLASS_EXTRAS = {"section_number": "SectionNumber", "period": "Period"}
GROUP_EXTRAS = {
    **CLASS_EXTRAS,
    "external_id": "SyncSource_SectionId",
    "course_id": "SyncSource_CourseId",
    "course_name": "CourseName",
    "course_number": "CourseNumber",
    "term_id": "TermId",
    "term_name": "TermName",
    "term_start": "TermStartDate",
    "term_end": "TermEndDate",
}
_PARTS: dict[str, Callable[[], Any]] = {
    "student": EducationStudent,
    "teacher": EducationTeacher,
    "course": EducationCourse,
    "term": EducationTerm,
    "address": PhysicalAddress,
}


def person_fields(kind: RecordKind, *, education: bool) -> Mapping[str, Field]:
    """The attributes of an account of a student or teacher."""
    if not education:
        return ACCOUNT
    return TEACHER if kind is RecordKind.TEACHER else STUDENT


def education_user(kind: RecordKind, values: Mapping[str, Any]) -> Body:
    """An educationUser with the attributes given (Graph docs: educationuser). Raises BadAttribute."""
    return _filled(EducationUser(), values, person_fields(kind, education=True))


def plain_user(values: Mapping[str, Any]) -> Body:
    """A user without education part."""
    return _filled(User(), values, ACCOUNT)


def user_extras(values: Mapping[str, Any]) -> Body:
    """What of a person fits the School Data Sync extension alone; for PATCH /users in education tenants."""
    return _extended(Body(User()), values, USER_EXTRAS)


def education_class(values: Mapping[str, Any]) -> Body:
    """An educationClass. Raises BadAttribute."""
    return _filled(EducationClass(), values, CLASS)


def class_extras(values: Mapping[str, Any]) -> Body:
    """What of a section fits the extension alone; for PATCH /groups in education tenants."""
    return _extended(Body(Group()), values, CLASS_EXTRAS)


def plain_group(values: Mapping[str, Any], *, extended: bool) -> Body:
    """A Microsoft 365 group; `extended` adds School Data Sync's attributes (education tenants)."""
    body = _filled(Group(), values, GROUP)
    return _extended(body, values, GROUP_EXTRAS) if extended else body


def mark_group(body: Body, values: Mapping[str, Any], *, extended: bool) -> Body:
    """Our anchor on a group, from `marks_of`, and School Data Sync's own marks where the tenant knows them."""
    if "unique_name" in values:
        body.model.unique_name = values["unique_name"]
        body.empty = False
    if extended and "anchor_id" in values:
        body.empty = False
        marks = {"ObjectType": "Section", "SyncSource": "SIS", "AnchorId": values["anchor_id"], "Status": "Active"}
        body.model.additional_data.update({EXTENSION + name: value for name, value in marks.items()})
    return body


def marks_of(ref: Ref, source_uuid: str, *, new: bool) -> dict[str, str]:
    """The values of our marks on a section's group.

    `uniqueName` can be set at creation alone (Graph docs: group): an adopted group is known by its link.
    """
    marks = {"anchor_id": f"Section_{ref.sis_id}"}
    return {**marks, "unique_name": unique_name(source_uuid, ref)} if new else marks


def education_school(values: Mapping[str, Any]) -> Body:
    """An educationSchool."""
    return _filled(EducationSchool(), values, SCHOOL)


def plain_school(values: Mapping[str, Any]) -> Body:
    """An administrative unit. A `description` comes from `unit_description`."""
    return _filled(AdministrativeUnit(), values, {**UNIT, **_same("description")})


def unique_name(source_uuid: str, ref: Ref) -> str:
    """The anchor of a section's group in tenants or profiles that do not use the education API."""
    return f"sds-daemon.{source_uuid.replace('-', '')}.{ref.kind}.{ref.sis_id}"


def unit_description(source_uuid: str, ref: Ref) -> str:
    """What an administrative unit says of itself, with the anchor of its school."""
    return f"School kept in step with the student information system {unit_mark(source_uuid, ref)}"


def unit_mark(source_uuid: str, ref: Ref) -> str:
    """The anchor of a school in an administrative unit's description."""
    return f"[sds-daemon {source_uuid} {ref.kind} {ref.sis_id}]"


def _filled(model: Any, values: Mapping[str, Any], fields: Mapping[str, Field]) -> Body:
    body = Body(model)
    for name, value in values.items():
        field = fields.get(name)
        if field is None:
            continue
        body.empty = False
        if value is None:
            body.clear.append((field.part, field.json) if field.part else (field.json,))
        else:
            setattr(_holder(model, field.part), field.attribute, _converted(name, field, value))
    return body


def _holder(model: Any, part: str) -> Any:
    if not part:
        return model
    held = getattr(model, part)
    if held is None:
        held = _PARTS[part]()
        setattr(model, part, held)
    return held


def _converted(name: str, field: Field, value: Any) -> Any:
    try:
        return field.convert(str(value))
    except ValueError:
        raise BadAttribute(name) from None


def _extended(body: Body, values: Mapping[str, Any], names: Mapping[str, str]) -> Body:
    for name, suffix in names.items():
        if name not in values:
            continue
        body.empty = False
        if values[name] is None:
            body.clear.append((EXTENSION + suffix,))
        else:
            body.model.additional_data[EXTENSION + suffix] = str(values[name])
    return body


def extension_fields(names: Mapping[str, str]) -> dict[str, Field]:
    """Attributes that live in School Data Sync's extension, as fields of the object itself."""
    return {name: Field(EXTENSION + suffix, EXTENSION + suffix) for name, suffix in names.items()}


def values_in(document: Mapping[str, Any], fields: Mapping[str, Field]) -> dict[str, str]:
    """The attributes set in an object's JSON, under their neutral names: what `_filled` would have put there."""
    found = {}
    for name, field in fields.items():
        holder = document.get(field.part) if field.part else document
        value = holder.get(field.json) if isinstance(holder, Mapping) else None
        if value not in (None, ""):
            found[name] = str(value)
    return found


def with_nulls(content: bytes, clear: list[tuple[str, ...]]) -> bytes:
    """Put nulls into a JSON object at the paths given."""
    if not clear:
        return content
    document: dict[str, Any] = msgspec.json.decode(content)
    for path in clear:
        holder = document
        for step in path[:-1]:
            holder = holder.setdefault(step, {})
        holder[path[-1]] = None
    return msgspec.json.encode(document)
