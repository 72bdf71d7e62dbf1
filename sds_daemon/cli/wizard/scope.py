"""What is synced: schools, attributes, and what a change in the source does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sds_daemon.cli.output import clean
from sds_daemon.cli.wizard.ask import Asker, Option
from sds_daemon.plan import attributes

if TYPE_CHECKING:
    from sds_daemon.cli.wizard.draft import Draft

_CHOICES = {
    "students": (attributes.STUDENT_CHOICES, attributes.STUDENT_DEFAULTS),
    "teachers": (attributes.TEACHER_CHOICES, attributes.TEACHER_DEFAULTS),
    "sections": (attributes.SECTION_CHOICES, attributes.SECTION_DEFAULTS),
    "school_records": (attributes.SCHOOL_CHOICES, attributes.SCHOOL_DEFAULTS),
}


def ask_schools(asker: Asker, draft: Draft) -> None:
    """All schools, or some by name or number, as the server lists them now."""
    if not draft.schools:
        asker.say("The server lists no school yet; all of them are taken once there are some.")
        draft.profile["schools"] = "all"
        return
    width = max(len(school.number) for school in draft.schools)
    for school in draft.schools:
        asker.say(f"  {school.number:>{max(width, 4)}}  {clean(school.name)}")
    before = draft.profile.get("schools", "")
    asker.text(
        'Which schools? (names or numbers with commas, or "all"; one is enough for a pilot)',
        default=before if isinstance(before, str) else ", ".join(before),
        check=lambda text: _take_schools(draft, text),
    )


def _take_schools(draft: Draft, answer: str) -> str | None:
    """Put the schools of an answer into the draft; what is wrong with it otherwise."""
    chosen: str | list[str] = "all"
    if answer.casefold() != "all":
        chosen = []
        for entry in _entries(draft, answer):
            found, unknown = _school(draft, entry)
            if unknown:
                return unknown
            if found not in chosen:
                chosen.append(found)
    fault = draft.fault(("profiles", draft.name), "schools", chosen)
    if fault is None:
        draft.profile["schools"] = chosen
    return fault


def _entries(draft: Draft, answer: str) -> list[str]:
    """The parts between commas; a name that holds a comma may stand alone."""
    if any(answer.casefold() == school.name.casefold() for school in draft.schools):
        return [answer]
    return [part for part in (piece.strip() for piece in answer.split(",")) if part]


def _school(draft: Draft, entry: str) -> tuple[str, str]:
    """A school as config.toml names it, by the kind of name that was given, or what is wrong."""
    wanted = entry.casefold()
    found = [each for each in draft.schools if wanted in (each.number.casefold(), each.name.strip().casefold())]
    if not found:
        return "", f"no school has the name or number {entry!r}"
    if len(found) > 1:
        return "", f"{entry!r} is {len(found)} schools; give the number"
    school = found[0]
    return (school.number if wanted == school.number.casefold() else school.name.strip()), ""


def ask_attributes(asker: Asker, draft: Draft) -> None:
    """The usual attributes, or a choice for each kind of record."""
    for kind, (_, usual) in _CHOICES.items():
        asker.say(f"  {kind.replace('_', ' ')}: {', '.join(usual)}")
    chosen_before = any("attributes" in draft.profile.get(kind, {}) for kind in _CHOICES)
    if asker.yes("Sync these attributes?", default=not chosen_before):
        for kind in _CHOICES:
            draft.profile.get(kind, {}).pop("attributes", None)
        return
    for kind, (choices, usual) in _CHOICES.items():
        table = draft.role(kind)
        table["attributes"] = list(
            asker.choose_many(
                f"Attributes of {kind.replace('_', ' ')}",
                [Option(name, "usual" if name in usual else "") for name in choices],
                default=table.get("attributes", usual),
            )
        )


def ask_rules(asker: Asker, draft: Draft) -> None:
    """The policy, the mail domain expected for classes, and an alias where the usual one would collide."""
    policies = [
        Option("sds", "as School Data Sync did: students leave classes, teachers stay"),
        Option("add-only", "nobody is ever taken out of a class"),
        Option("mirror", "teachers leave classes too, but for the last owner"),
    ]
    draft.profile["policy"] = asker.choose(
        "What happens when somebody leaves a section?", policies, default=draft.profile.get("policy", "sds")
    )
    asker.say("No policy deletes an account, a class or a school.")
    none = Option("none", "any; Exchange decides")
    domains = [none, *(Option(domain, "a class made with another one is a warning") for domain in draft.facts.domains)]
    domain = asker.choose(
        "Which mail domain do you expect class groups to get?",
        domains,
        default=draft.profile.get("class_domain") or "none",
    )
    draft.profile["class_domain"] = None if domain == "none" else domain
    _ask_alias(asker, draft)


def _ask_alias(asker: Asker, draft: Draft) -> None:
    path = ("profiles", draft.name)
    usual = "Section_{sis_id}"
    fault = draft.fault(path, "class_alias", draft.profile.get("class_alias", usual))
    if fault is None:
        return
    asker.refuse(fault)
    draft.profile["class_alias"] = asker.text(
        "Alias of classes",
        default=f"{draft.source_name.capitalize()}_{{sis_id}}",
        check=lambda text: draft.fault(path, "class_alias", text),
    )
