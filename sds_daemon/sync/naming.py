"""Names of what is made: accounts and classes. Pure, and the same for the same record whenever it is asked.

A text that had to be replaced or cut where it must be unique (the sign-in name, the group alias) ends in a short hash
of the record it came from, so that two records never come to share it.
"""

from __future__ import annotations

import re

import msgspec

from sds_daemon.config.settings import PersonRules
from sds_daemon.errors import ConfigurationError
from sds_daemon.plan.issues import Issue, IssueCode
from sds_daemon.roster.records import RecordKind, Ref, RosterRole, Section, Snapshot, Student, Teacher
from sds_daemon.sync import characters

Person = Student | Teacher

_PLACEHOLDER = re.compile(r"\{([a-z_]*)\}")
_PLAIN_ID = re.compile(r"[0-9a-z]+")
_SEPARATORS = " -–—·:,/|"


class AccountNames(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How an account is made. `usage_location` is None where the profile names none."""

    user_principal_name: str
    mail_nickname: str
    display_name: str
    given_name: str
    surname: str
    usage_location: str | None = None

    def values(self) -> dict[str, str]:
        """The same under the neutral names of plan/attributes.py, without what is not set."""
        return {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}


def ref_of(person: Person) -> Ref:
    """The record's Ref."""
    return Ref(RecordKind.STUDENT if isinstance(person, Student) else RecordKind.TEACHER, person.id)


def account_names(person: Person, rules: PersonRules, *, replace: bool) -> AccountNames | Issue:
    """The names of the account to be made for a person, or the issue that keeps it from being made.

    The sign-in name is Username@domain; a Username that holds the role's domain already is taken as it is. `replace`
    puts legal characters where illegal ones stand; without it they are an issue. Text too long is cut either way.
    Raises ConfigurationError where the role has no domain.
    """
    missing = _missing(person)
    if missing:
        return _issue(person, IssueCode.MISSING_ATTRIBUTE, f"{missing} is empty, and no account is made without it")
    local = _local_part(person, rules, replace=replace)
    if isinstance(local, Issue):
        return local
    names = person_names(person, replace=replace)
    if isinstance(names, Issue):
        return names
    legal, domain = local
    return AccountNames(
        user_principal_name=f"{legal}@{domain}", mail_nickname=legal, usage_location=rules.usage_location, **names
    )


def person_names(person: Person, *, replace: bool) -> dict[str, str] | Issue:
    """`display_name` ("First Last"), `given_name` and `surname`, legal and within their limits, or the issue."""
    if characters.is_plain_name(person.first_name) and characters.is_plain_name(person.last_name):
        given, surname = person.first_name, person.last_name
        return {"display_name": f"{given} {surname}", "given_name": given, "surname": surname}
    return _mended_names(person, replace=replace)


def _mended_names(person: Person, *, replace: bool) -> dict[str, str] | Issue:
    fields = {"First Name": person.first_name, "Last Name": person.last_name}
    values = [value.strip() for value in fields.values()]
    for field, value in zip(fields, values, strict=True):
        fault = characters.name_fault(value)
        if fault and not replace:
            return _issue(person, IssueCode.INVALID_VALUE, f"{field} holds {fault}")
    given, surname = (characters.mend_name(value) if replace else characters.one_line(value) for value in values)
    if not given or not surname:
        field = "Last Name" if given else "First Name"
        return _issue(person, IssueCode.MISSING_ATTRIBUTE, f"{field} is empty, and no account is made without it")
    return {
        "display_name": characters.cut(f"{given} {surname}", characters.DISPLAY_NAME_LIMIT),
        "given_name": characters.cut(given, characters.PERSON_NAME_LIMIT),
        "surname": characters.cut(surname, characters.PERSON_NAME_LIMIT),
    }


def _missing(person: Person) -> str | None:
    fields = {"Username": person.username, "First Name": person.first_name, "Last Name": person.last_name}
    return next((field for field, value in fields.items() if not value.strip()), None)


def _local_part(person: Person, rules: PersonRules, *, replace: bool) -> tuple[str, str] | Issue:
    """What stands before and after the "@", both legal."""
    if not rules.domain:
        raise ConfigurationError("accounts are to be made, but the role has no domain", remedy="set domain")
    username = person.username.strip()
    local, at, domain = username.partition("@")
    if "@" in domain:
        return _issue(person, IssueCode.INVALID_VALUE, 'Username holds more than one "@"')
    if at and not (local and domain):
        return _issue(person, IssueCode.INVALID_VALUE, 'Username has nothing before or after its "@"')
    if at and domain.lower() != rules.domain.lower():
        return _issue(
            person, IssueCode.WRONG_DOMAIN, f"Username holds a domain other than {rules.domain}, the profile's own"
        )
    if len(rules.domain) > characters.UPN_DOMAIN_LIMIT:
        limit = characters.UPN_DOMAIN_LIMIT
        return _issue(person, IssueCode.INVALID_VALUE, f"the domain is longer than the {limit} characters allowed")
    legal = _legal_local(person, local, replace=replace)
    return legal if isinstance(legal, Issue) else (legal, domain or rules.domain)


def _legal_local(person: Person, local: str, *, replace: bool) -> str | Issue:
    fault = characters.upn_fault(local)
    if fault and not replace:
        return _issue(person, IssueCode.INVALID_VALUE, f"Username holds {fault}")
    if not fault and len(local) <= characters.UPN_LIMIT:
        return local
    ref = ref_of(person)
    return characters.marked(characters.mend_upn(local), characters.UPN_LIMIT, ref.kind, ref.sis_id, local)


def _issue(person: Person, code: IssueCode, detail: str) -> Issue:
    return Issue(ref=ref_of(person), code=code, detail=detail, joining_value=characters.storable(person.username))


class TemplateContext(msgspec.Struct, frozen=True, kw_only=True):
    """What the placeholders of `class_name` and `class_alias` stand for. Empty text where the source says nothing."""

    sis_id: str
    course_name: str = ""
    course_number: str = ""
    section_number: str = ""
    term_name: str = ""
    school_name: str = ""
    school_number: str = ""
    period: str = ""
    year: str = ""
    teacher_last_name: str = ""


PLACEHOLDERS = TemplateContext.__struct_fields__


def course_name(section: Section) -> str:
    """The course's name; one without goes by its number, else by the section's id."""
    course = section.course
    return ((course.name.strip() or course.number.strip()) if course else "") or section.id


def term_name(section: Section) -> str:
    """The term's name, or its abbreviation."""
    return section.term.name.strip() or section.term.abbreviation


def template_context(section: Section, snapshot: Snapshot) -> TemplateContext:
    """The placeholders' values for a section."""
    school = snapshot.schools.get(section.school_id)
    return TemplateContext(
        sis_id=section.id,
        course_name=course_name(section),
        course_number=section.course.number if section.course else "",
        section_number=section.number,
        term_name=term_name(section),
        school_name=school.name if school else "",
        school_number=school.number if school else "",
        period=section.period,
        year=str(snapshot.year),
        teacher_last_name=_lead_name(section, snapshot),
    )


def _lead_name(section: Section, snapshot: Snapshot) -> str:
    leads = [entry for entry in section.teachers if entry.role is RosterRole.LEAD]
    teacher = snapshot.teachers.get(min(leads).teacher_id) if leads else None
    return teacher.last_name if teacher else ""


def class_display_name(section: Section, template: str, context: TemplateContext) -> str:
    """The class's display name: one line, at most 256, never empty (the section's id where nothing else is left)."""
    text, complete = _render(template, context)
    name = characters.one_line(text)
    if not complete:
        name = name.strip(_SEPARATORS)
    return characters.cut(name, characters.DISPLAY_NAME_LIMIT) or section.id


def class_alias(section: Section, template: str, context: TemplateContext) -> str:
    """The class's mailNickname: ASCII, legal (Graph docs: group-post-groups), at most 64.

    Two sections never share one, upper and lower case being one: an alias stays as the template makes it only where
    it is legal and the section's id can be read back from it; any other ends in a hash of the id.
    """
    text, _ = _render(template, context)
    legal = characters.mend_alias(text)
    fits = legal == text and len(legal) <= characters.ALIAS_LIMIT
    if fits and _tells_apart(template, section.id) and not characters.MARKED_ENDING.search(legal):
        return legal
    return characters.marked(legal, characters.ALIAS_LIMIT, section.id, text)


def _tells_apart(template: str, sis_id: str) -> bool:
    """Whether no other plain id gives the same alias, whatever the other placeholders hold."""
    if not _PLAIN_ID.fullmatch(sis_id):
        return False
    names = set(_PLACEHOLDER.findall(template))
    if names == {"sis_id"}:
        return True
    return bool(re.search(r"[^0-9A-Za-z}]\{sis_id\}$", template) or re.match(r"\{sis_id\}[^0-9A-Za-z{]", template))


def _render(template: str, context: TemplateContext) -> tuple[str, bool]:
    """The template filled in, and whether every placeholder had something to say. Raises ConfigurationError."""
    empty: list[str] = []

    def value(found: re.Match[str]) -> str:
        name = found[1]
        if name not in PLACEHOLDERS:
            known = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
            raise ConfigurationError(f"the template {template!r} holds {{{name}}}", remedy=f"use {known}")
        text: str = getattr(context, name)
        if not text.strip():
            empty.append(name)
        return text

    return _PLACEHOLDER.sub(value, template), not empty
