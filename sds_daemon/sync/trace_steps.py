"""The steps of a trace: each looks at what is known of one record and says in plain words how that step went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.plan.issues import IssueCode, Severity
from sds_daemon.plan.sighting import Sighting
from sds_daemon.roster.records import RecordKind
from sds_daemon.store import Link, Role
from sds_daemon.sync.trace import Evidence, Sent, Step

_SETTLED = frozenset({"done", "already"})
_SCOPE_ISSUES = frozenset({IssueCode.HOME_SCHOOL, IssueCode.INACTIVE_PERSON})
_MATCH_ISSUES = frozenset(
    {IssueCode.UNMATCHED, IssueCode.DUPLICATE_TARGET, IssueCode.ROLE_CONFLICT, IssueCode.UPN_TAKEN}
)
_LINK_ISSUES = frozenset({IssueCode.OBJECT_DELETED, IssueCode.ALIAS_TAKEN})
_PLAN_ISSUES = frozenset({IssueCode.NO_TEACHER})
_ANSWER_ISSUES = frozenset(
    {
        IssueCode.NO_SEAT,
        IssueCode.INVALID_LICENSE,
        IssueCode.LICENSE_GROUP,
        IssueCode.INVALID_USAGE_LOCATION,
        IssueCode.QUOTA_EXCEEDED,
        IssueCode.TOO_MANY_OWNERS,
        IssueCode.REFUSED,
        IssueCode.ON_PREMISES,
    }
)
_POLICY_REASONS = frozenset({Reason.POLICY_KEEPS, Reason.LAST_OWNER})
_PERSONS = frozenset({RecordKind.STUDENT, RecordKind.TEACHER})
_OBJECTS = {
    RecordKind.STUDENT: "account",
    RecordKind.TEACHER: "account",
    RecordKind.SECTION: "class",
    RecordKind.SCHOOL: "school",
}
_SHOWN = 6


# Read, in scope, valid


def read(evidence: Evidence) -> Step:
    """Which call brings the record, and what it said."""
    saw = evidence.sighting
    if saw is None:
        lines = ["no run has kept anything of it: it never had a change or an issue here (--now looks)"]
        return Step(stage="read", ok=None, lines=tuple(lines + _said(evidence)))
    if not saw.present:
        where = "the source was read" if evidence.live else f"run {evidence.seen_by} read the source"
        lines = [f"{where} without it: {saw.absent}", *_said(evidence)]
        return Step(stage="read", ok=False, lines=tuple(lines), because=("; ".join(lines),))
    lines = [_part_line(saw, evidence)]
    if saw.roster_call:
        whole = f"unproved, {saw.roster_doubt}" if saw.roster_doubt else "read whole"
        lines.append(f"{saw.roster_call}: {counted(len(saw.students), 'student')}, {whole}")
    return Step(stage="read", ok=True, lines=tuple(lines))


def _part_line(saw: Sighting, evidence: Evidence) -> str:
    rows = f"{saw.received} of {saw.expected} rows" if saw.expected is not None else f"{saw.received} rows"
    doubt = f", unproved: {saw.doubt}" if saw.doubt else ""
    when = "now" if evidence.live else f"run {evidence.seen_by}"
    return f"{saw.call or 'the source'} brought it ({when}; {rows}{doubt})"


def _said(evidence: Evidence) -> list[str]:
    return [f"asked for it alone, the source says: {evidence.source_says}"] if evidence.source_says else []


def in_scope(evidence: Evidence) -> Step:
    """School, term, status: whether the profile takes the record."""
    saw = evidence.sighting
    issues = _issue_lines(evidence, "in scope")
    if issues:
        return Step(stage="in scope", ok=False, lines=issues)
    if saw is None or not saw.present:
        return Step(stage="in scope", ok=None if saw is None else False, lines=(saw.absent if saw else "not known",))
    where = f"{'school' if len(saw.schools) == 1 else 'schools'} {', '.join(saw.schools)}"
    if not saw.start:
        return Step(stage="in scope", ok=True, lines=(f"yes, {where}",))
    day = evidence.at.date().isoformat() if evidence.at else ""
    if day and day > saw.end:
        return Step(
            stage="in scope", ok=False, lines=(f"its term ended on {saw.end}: the class is frozen, members and all",)
        )
    return Step(stage="in scope", ok=True, lines=(f"yes, {where}, term {saw.start} to {saw.end}",))


def _stage_of_issue(code: IssueCode) -> str:
    stages = (
        ("in scope", _SCOPE_ISSUES),
        ("matched", _MATCH_ISSUES),
        ("linked", _LINK_ISSUES),
        ("planned", _PLAN_ISSUES),
        ("answer", _ANSWER_ISSUES),
    )
    found = next((stage for stage, codes in stages if code in codes), "valid")
    return "policy" if code is IssueCode.LAST_OWNER else found


def _issue_lines(evidence: Evidence, stage: str) -> tuple[str, ...]:
    return tuple(
        f"{issue.code.value}: {issue.detail}"
        for issue in evidence.issues
        if issue.severity is Severity.ERROR and _stage_of_issue(issue.code) == stage
    )


def validity(evidence: Evidence) -> Step:
    """Whether the record is usable: required fields, legal values, references that exist."""
    lines = _issue_lines(evidence, "valid")
    if lines:
        return Step(stage="valid", ok=False, lines=lines)
    saw = evidence.sighting
    known = saw is not None and saw.present
    return Step(stage="valid", ok=True if known else None, lines=("yes" if known else "not known",))


# Matched, linked


def matched(evidence: Evidence) -> Step:
    """By which rule an object was found, and which candidates there were."""
    if evidence.ref.kind not in _PERSONS:
        return _matched_object(evidence)
    saw, link = evidence.sighting, evidence.link
    lines = []
    if saw is not None and saw.value:
        lines.append(f"looked for {saw.target} = “{saw.value}”{_candidates(saw)}")
    issues = _issue_lines(evidence, "matched")
    if issues:
        return Step(stage="matched", ok=False, lines=(*lines, *issues))
    if link is not None:
        return Step(stage="matched", ok=True, lines=(*lines, _rule(link)))
    making = _of_kind(evidence.changes, ChangeKind.CREATE_USER)
    lines.append("nobody has it: the account is to be made" if making else "no account")
    return Step(stage="matched", ok=True if making else None, lines=tuple(lines))


def _candidates(saw: Sighting) -> str:
    if saw.marked:
        return f": {counted(len(saw.marked), 'account')} with our mark ({', '.join(saw.marked)})"
    if saw.candidates is None:
        return ""
    listed = f" ({', '.join(saw.candidates)})" if saw.candidates else ""
    return f": {counted(len(saw.candidates), 'account')}{listed}"


def _rule(link: Link) -> str:
    rules = {"created": "the account was made by this daemon", "anchor": "found by the mark it carries"}
    return rules.get(link.rule, f"by the rule {link.rule}")


def _matched_object(evidence: Evidence) -> Step:
    link, word = evidence.link, _OBJECTS[evidence.ref.kind]
    if link is None:
        return Step(stage="matched", ok=None, lines=(f"a {word} is made, not matched",))
    found = {"created": "made by this daemon", "anchor": "found by the mark it carries", "adopted": "adopted"}
    return Step(stage="matched", ok=True, lines=(f"the {word} was {found.get(link.rule, link.rule)}",))


def linked(evidence: Evidence) -> Step:
    """The directory object the record is linked to."""
    link, word = evidence.link, _OBJECTS[evidence.ref.kind]
    issues = _issue_lines(evidence, "linked")
    if link is None:
        lines = issues or _issue_lines(evidence, "planned")
        return Step(stage="linked", ok=False, lines=(f"no {word} yet", *lines))
    owner = "" if link.profile == evidence.profile else f", owned by profile {link.profile}"
    name = f" (“{evidence.held.name}”)" if evidence.held.name else ""
    line = f"{word} {link.object_id}{name}, since {link.linked_at.date().isoformat()}{owner}"
    due = ("licences are still to be assigned",) if link.licenses_due else ()
    anew = ("reset: what it holds is read anew by the next sync",) if link.unread else ()
    return Step(stage="linked", ok=not issues, lines=(line, *due, *anew, *issues))


# Planned, policy, limits, sent, answer


def decided(evidence: Evidence, changes: Sequence[Sent]) -> tuple[Step, ...]:
    """The steps from plan to answer, for these changes."""
    now = current_changes(evidence, changes)
    return (
        _planned(evidence, now),
        _kept_out("policy", f"policy {evidence.policy} lets all of it pass", evidence, now),
        _kept_out("limits", "within the limits, nothing waits for approval", evidence, now),
        _sent(evidence, now, changes),
        _answered(evidence, changes),
    )


def current_changes(evidence: Evidence, changes: Sequence[Sent]) -> list[Sent]:
    """The changes of the newest plan that had any: the rehearsal's own where there was one."""
    if evidence.live:
        return [sent for sent in changes if sent.run == 0]
    newest = max((sent.run for sent in changes), default=0)
    return [sent for sent in changes if sent.run == newest]


def _planned(evidence: Evidence, current: Sequence[Sent]) -> Step:
    issues = _issue_lines(evidence, "planned")
    if issues:
        return Step(stage="planned", ok=False, lines=issues)
    if not current:
        return Step(stage="planned", ok=None, lines=("nothing: no change is due",))
    where = "now" if evidence.live else f"run {current[0].run}"
    return Step(stage="planned", ok=True, lines=tuple(f"{where}: {line}" for line in _change_lines(current)))


def _change_lines(current: Sequence[Sent]) -> list[str]:
    """Changes in words; many of one kind as a number."""
    kinds = Counter(sent.change.kind for sent in current)
    lines = []
    for kind, number in kinds.items():
        of_kind = [sent.change for sent in current if sent.change.kind is kind]
        if number > _SHOWN:
            lines.append(f"{kind.value}, {number} times ({of_kind[0].reason.value})")
        else:
            lines += [sentence(change) for change in of_kind]
    return lines


def sentence(change: Change) -> str:
    """A change in ids, with its reason."""
    place = f" {change.member} in {change.subject}" if change.member is not None else f" {change.subject}"
    fields = f": {', '.join(sorted(change.values))}" if change.kind.value.endswith(".update") else ""
    if change.kind is ChangeKind.JOIN_LICENSE_GROUP:
        fields = f" into group {change.values.get('group')}"
    return f"{change.kind.value}{place}{fields} ({change.reason.value})"


def _kept_out(stage: str, passed: str, evidence: Evidence, current: Sequence[Sent]) -> Step:
    wanted = stage == "policy"
    kept = [sent for sent in current if sent.withheld is not None and (sent.withheld in _POLICY_REASONS) is wanted]
    lines = [
        f"{sent.change.kind.value}{f' of {sent.change.member}' if sent.change.member else ''} {not_gone(sent)}"
        for sent in kept[:_SHOWN]
    ]
    lines += [f"and {len(kept) - _SHOWN} more"] if len(kept) > _SHOWN else []
    lines += _issue_lines(evidence, stage)
    if lines:
        return Step(stage=stage, ok=False, lines=tuple(lines))
    return Step(stage=stage, ok=True if current else None, lines=(passed if current else "nothing to judge",))


def not_gone(sent: Sent) -> str:
    """Why a change did not go out."""
    why = sent.withheld.value if sent.withheld else ""
    word = "waits" if sent.state == "held" else "kept back"
    return f"{word}: {why}{f' ({sent.detail})' if sent.detail and sent.detail != why else ''}"


def _sent(evidence: Evidence, current: Sequence[Sent], changes: Sequence[Sent]) -> Step:
    stored = [sent for sent in changes if sent.run and sent.at is not None]
    going = [sent for sent in current if sent.withheld is None]
    if evidence.live and going:
        line = f"not now (this only looks): the next sync would send {counted(len(going), 'change')}"
        return Step(stage="sent", ok=None, lines=(line,))
    if not stored:
        return Step(stage="sent", ok=None, lines=("nothing was ever sent",))
    latest = max(stored, key=lambda sent: sent.run)
    number = sum(sent.run == latest.run for sent in stored)
    return Step(stage="sent", ok=True, lines=(f"run {latest.run}, {_moment(latest.at)}: {counted(number, 'change')}",))


def _answered(evidence: Evidence, changes: Sequence[Sent]) -> Step:
    """The newest answer to each change; one that came to nothing is the reason unless a later run had better luck."""
    newest: dict[object, Sent] = {}
    for sent in changes:
        if sent.run and sent.at is not None:
            newest.setdefault(sent.change.key, sent)
    states = Counter(sent.state for sent in newest.values())
    failed = [sent for sent in newest.values() if sent.state not in _SETTLED]
    where = " in all runs" if len({sent.run for sent in newest.values()}) > 1 else ""
    lines = [f"{number} {state}{where}" for state, number in sorted(states.items())] if states else ["none"]
    lines += [_refusal(sent) for sent in failed[:_SHOWN]]
    issues = _issue_lines(evidence, "answer")
    bad = any(sent.state == "failed" for sent in failed) or bool(issues)
    return Step(stage="answer", ok=False if bad else (True if states else None), lines=(*lines, *issues))


def _refusal(sent: Sent) -> str:
    status = f", HTTP {sent.status}" if sent.status else ""
    detail = f": {sent.detail}" if sent.detail else ""
    return f"run {sent.run}: {sent.change.kind.value} {sent.state}{status}{detail}"


def _of_kind(changes: Iterable[Sent], kind: ChangeKind) -> list[Sent]:
    return [sent for sent in changes if sent.change.kind is kind]


# Directory


def directory(evidence: Evidence) -> Step:
    """Whether the object is there, and what it is a member of."""
    word = _OBJECTS[evidence.ref.kind]
    if evidence.link is None:
        return Step(stage="directory", ok=None, lines=(f"no {word} of it is known",))
    lines = [_object_line(evidence, word)]
    for role, members in _by_role(evidence):
        lines.append(f"{role.value} of {', '.join(members[:_SHOWN])}{_more(members)}")
    within = Counter(row.role.value for row in evidence.memberships if row.container == evidence.ref)
    if within:
        lines.append(f"put in by us: {', '.join(f'{number} as {role}' for role, number in sorted(within.items()))}")
    by_hand = sorted(evidence.removed_by_hand)
    lines += [f"{row.role.value} {row.member} of {row.container} was removed by hand" for row in by_hand[:_SHOWN]]
    gone = evidence.held.state in ("deleted", "purged")
    return Step(stage="directory", ok=not gone, lines=tuple(lines))


def _object_line(evidence: Evidence, word: str) -> str:
    when = "read just now" if evidence.live else "as last read"
    states = {
        "present": f"the {word} is there ({when})",
        "deleted": f"the {word} is in the recycle bin",
        "purged": f"the {word} is gone for good",
    }
    return states.get(evidence.held.state, f"the {word} was made and has not been seen in a read yet")


def _by_role(evidence: Evidence) -> list[tuple[Role, list[str]]]:
    ref, by_hand = evidence.ref, evidence.removed_by_hand
    rows = [row for row in evidence.memberships if row.member == ref and row not in by_hand]
    roles = sorted({row.role for row in rows})
    return [(role, sorted(str(row.container) for row in rows if row.role is role)) for role in roles]


def _more(members: Sequence[str]) -> str:
    return f" and {len(members) - _SHOWN} more" if len(members) > _SHOWN else ""


def counted(count: int, word: str) -> str:
    """ "1 row", "2 rows"."""
    return f"{count} {word}{'' if count == 1 else 's'}"


def _moment(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M UTC") if at else "-"
