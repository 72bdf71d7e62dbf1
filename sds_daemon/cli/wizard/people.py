"""Accounts: matched or created, by which rule, in which domain, with which licences. Choices are live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sds_daemon.cli.wizard.ask import Asker, Option

if TYPE_CHECKING:
    from sds_daemon.cli.wizard.draft import Draft

NO_SUFFIX = "none"
ROLES = {"students": "Student", "teachers": "Teacher"}
_TARGETS = (
    Option("userPrincipalName", "the sign-in name"),
    Option("mail", "the primary e-mail address"),
    Option("mailNickname", "the alias; the directory does not keep it unique"),
)


def ask_users(asker: Asker, draft: Draft) -> None:
    """Match, create, or both."""
    default = "match_or_create"
    if draft.facts.on_premises_sync:
        default = "match"
        asker.say(
            "This tenant's accounts are synchronised from a local Active Directory: create them there, match here."
        )
    ways = [
        Option("match", "use the accounts there are; make none"),
        Option("create", "make an account for everybody: Username@domain"),
        Option("match_or_create", "use those there are, make the missing ones"),
    ]
    draft.profile["users"] = asker.choose(
        "Where do accounts come from?", ways, default=draft.profile.get("users", default)
    )


def ask_role(asker: Asker, draft: Draft, role: str) -> None:
    """Identity rule, domain, licences and country of one role, as far as `users` asks for them."""
    before = dict(draft.role(role))
    rules: dict[str, Any] = {key: before[key] for key in ("attributes",) if key in before}
    draft.profile[role] = rules
    users = draft.profile["users"]
    if users != "create":
        _ask_rule(asker, draft, role, before)
    if users != "match":
        _ask_domain(asker, draft, role, before)
        _ask_licenses(asker, draft, role, before)
        _ask_country(asker, draft, role, before)


def _ask_rule(asker: Asker, draft: Draft, role: str, before: dict[str, Any]) -> None:
    rules = draft.role(role)
    word = ROLES[role]
    properties = [
        Option("username", f"{word} Username"),
        Option("number", f"{word} Number"),
        Option("secondary_email", "Secondary Email"),
    ]
    rules["source_property"] = asker.choose(
        f"Which value of PowerSchool says which account a {word.lower()} has?",
        properties,
        default=before.get("source_property", "username"),
    )
    if rules["source_property"] != "secondary_email":
        rules["suffix"] = _ask_suffix(asker, draft, before)
    targets = [option for option in _TARGETS if _possible(draft, role, option.value)]
    if len(targets) == 1:
        asker.say(f"Only {targets[0].value}, {targets[0].label}, can equal that.")
        rules["target_property"] = targets[0].value
        return
    rules["target_property"] = asker.choose(
        "Which property of the account must equal it?",
        targets,
        default=before.get("target_property", "userPrincipalName"),
    )


def _ask_suffix(asker: Asker, draft: Draft, before: dict[str, Any]) -> str | None:
    options = [Option(NO_SUFFIX, "no suffix needed: the value is compared as it is")]
    options += [Option(domain, f"value@{domain} is compared") for domain in draft.facts.domains]
    default = before.get("suffix", draft.facts.default_domain) or NO_SUFFIX
    chosen = asker.choose("Which domain is added to the value before comparing?", options, default=default)
    return None if chosen == NO_SUFFIX else chosen


def _possible(draft: Draft, role: str, target: str) -> bool:
    """Whether the rule so far can match by this property at all (SDS's identity matrix, as config/rules.py has it)."""
    path = ("profiles", draft.name, role)
    rules = {**draft.role(role), "target_property": target}
    return not any(draft.fault(path, key, rules.get(key), rules) for key in ("target_property", "suffix"))


def _ask_domain(asker: Asker, draft: Draft, role: str, before: dict[str, Any]) -> None:
    rules = draft.role(role)
    options = [Option(domain, f"Username@{domain}") for domain in draft.facts.domains]
    default = before.get("domain") or rules.get("suffix") or draft.facts.default_domain
    rules["domain"] = asker.choose(f"In which domain are new {role} made?", options, default=default)


def _ask_licenses(asker: Asker, draft: Draft, role: str, before: dict[str, Any]) -> None:
    skus = [sku for sku in draft.facts.skus.values() if sku.enabled]
    if not skus:
        asker.say(f"The tenant owns no licences that could be given to new {role}.")
        return
    options = [Option(sku.part_number, f"{max(0, sku.seats_free):,} of {sku.seats:,} seats free") for sku in skus]
    chosen = asker.choose_many(f"Which licences do new {role} get?", options, default=before.get("licenses", ()))
    draft.role(role)["licenses"] = list(chosen) or None
    full = [sku.part_number for sku in skus if sku.part_number in chosen and sku.seats_free <= 0]
    if full:
        asker.refuse(f"no seat is free in {', '.join(full)}: accounts are made, and licensed once there are seats")


def _ask_country(asker: Asker, draft: Draft, role: str, before: dict[str, Any]) -> None:
    rules = draft.role(role)
    path = ("profiles", draft.name, role)
    default = before.get("usage_location") or draft.role("students").get("usage_location") or ""
    country = asker.text(
        f"Country the new {role} use it in, like US" + (" (a licence needs it)" if rules.get("licenses") else ""),
        default=default,
        optional=not rules.get("licenses"),
        check=lambda text: draft.fault(path, "usage_location", text.upper()),
    )
    rules["usage_location"] = country.upper() or None
