"""Neutral names of the attributes a change carries, and which of them the operator can choose.

Values are text; dates are ISO text; absent means "not written", None means "clear it".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# Accounts (CREATE_USER, UPDATE_USER)
ACCOUNT_IDENTITY = ("user_principal_name", "mail_nickname", "usage_location")
ACCOUNT_NAMES = ("display_name", "given_name", "surname")
EDUCATION_ANCHOR = ("primary_role", "external_id", "external_source", "external_source_detail")
STUDENT_CHOICES = (
    "student_number",
    "grade",
    "school",
    "state_id",
    "secondary_email",
    "middle_name",
    "birth_date",
    "graduation_year",
    "department",
    "office_location",
)
TEACHER_CHOICES = ("teacher_number", "school", "secondary_email", "middle_name", "department", "office_location")
STUDENT_DEFAULTS = ("student_number", "grade", "school")
TEACHER_DEFAULTS = ("teacher_number", "school")

# Attributes in School Data Sync's own extension of a user: written to the user itself, also in education tenants.
EXTENSION_ATTRIBUTES = frozenset({"state_id", "secondary_email"})

# Attributes Graph keeps in the education part of a user: writable on accounts mastered on premises.
EDUCATION_ATTRIBUTES = frozenset(
    {
        *EDUCATION_ANCHOR,
        *("student_number", "teacher_number", "grade", "birth_date", "graduation_year"),
        *EXTENSION_ATTRIBUTES,
    }
)

# Classes (CREATE_CLASS, UPDATE_CLASS)
SECTION_CHOICES = (
    "course_id",
    "course_name",
    "course_number",
    "term_id",
    "term_name",
    "term_start",
    "term_end",
    "section_number",
    "period",
    "class_code",
    "description",
)
SECTION_DEFAULTS = (
    "course_id",
    "course_name",
    "course_number",
    "term_id",
    "term_name",
    "term_start",
    "term_end",
    "class_code",
)
CLASS_IDENTITY = ("display_name", "mail_nickname", "external_id", "external_source", "external_source_detail")

# Schools (CREATE_SCHOOL, UPDATE_SCHOOL)
SCHOOL_CHOICES = (
    "school_number",
    "low_grade",
    "high_grade",
    "principal_name",
    "principal_email",
    "phone",
    "street",
    "city",
    "state",
    "postal_code",
    "country",
)
SCHOOL_DEFAULTS = ("school_number", "low_grade", "high_grade", "principal_name", "principal_email")
SCHOOL_IDENTITY = ("display_name", "external_id", "external_source", "external_source_detail")

# Attributes that Graph keeps in one structured value (educationStudent, educationTeacher, educationCourse,
# educationTerm, physicalAddress). No document says that an update merges into such a value: it is written whole.
STRUCTURES: Final[Mapping[str, tuple[frozenset[str], ...]]] = {
    "student": (frozenset({"external_id", "student_number", "grade", "birth_date", "graduation_year"}),),
    "teacher": (frozenset({"external_id", "teacher_number"}),),
    "section": (
        frozenset({"course_id", "course_name", "course_number"}),
        frozenset({"term_id", "term_name", "term_start", "term_end"}),
    ),
    "school": (frozenset({"street", "city", "state", "postal_code", "country"}),),
}
