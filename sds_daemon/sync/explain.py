"""Why a record is, or is not, where it should be: the trace of one record, step by step, in plain words.

Pure: `explain_record` and `explain_membership` turn what is known (sync/evidence.py gathers it) into a `Trace`. The
steps are those of a cycle, in its order; the first one that says no is the answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sds_daemon.plan.issues import REMEDIES, Issue, IssueCode, Severity
from sds_daemon.sync import trace_steps as steps
from sds_daemon.sync.trace import Evidence, Question, Step, Trace


def explain_record(evidence: Evidence) -> Trace:
    """The trace of one person, section or school."""
    made = (
        steps.read(evidence),
        steps.in_scope(evidence),
        steps.validity(evidence),
        steps.matched(evidence),
        steps.linked(evidence),
        *steps.decided(evidence, evidence.changes),
        steps.directory(evidence),
    )
    stop = _stop(made) if _is_known(evidence) else None
    answer = _stopped(stop) if stop is not None else _all_well(evidence)
    return _trace(str(evidence.ref), evidence, made, answer, _remedy(evidence.issues) if stop is not None else "")


def explain_membership(question: Question) -> Trace:
    """The trace of one person's place in one section: what applies to both, then the membership itself."""
    person, section = question.person, question.section
    made = (
        _both(question, steps.read, _listing(question)),
        _both(question, steps.in_scope),
        _both(question, steps.validity),
        _both(question, steps.matched),
        _both(question, steps.linked),
        *steps.decided(section, question.changes),
        _membership_now(question),
    )
    settled = _settled(question)
    stop = _stop(made) if settled is None else None
    if settled is None:
        settled = _stopped(stop) if stop is not None else f"{person.ref} is not in the class of {section.ref}"
    issues = [*person.issues, *(issue for issue in section.issues if issue.code is not IssueCode.LAST_OWNER)]
    remedy = _remedy(issues) if stop is not None else ""
    return _trace(f"{person.ref} in {section.ref}", section, made, settled, remedy)


def _trace(title: str, evidence: Evidence, made: Sequence[Step], answer: str, remedy: str) -> Trace:
    return Trace(
        title=title,
        profile=evidence.profile,
        live=evidence.live,
        run=evidence.run,
        at=evidence.at,
        steps=tuple(made),
        answer=answer,
        remedy=remedy,
    )


def _stop(made: Iterable[Step]) -> Step | None:
    return next((step for step in made if step.ok is False), None)


def _stopped(stop: Step) -> str:
    return f"stopped at “{stop.stage}”: {(stop.because or stop.lines)[-1]}"


def _remedy(issues: Iterable[Issue]) -> str:
    cause = next((issue for issue in issues if issue.severity is Severity.ERROR), None)
    return REMEDIES.get(cause.code, "") if cause is not None else ""


def _is_known(evidence: Evidence) -> bool:
    return evidence.sighting is not None or evidence.link is not None or bool(evidence.issues)


def _all_well(evidence: Evidence) -> str:
    if not _is_known(evidence):
        return f"nothing is known of {evidence.ref} in profile {evidence.profile}; --now reads both sides"
    going = [sent for sent in steps.current_changes(evidence, evidence.changes) if sent.withheld is None]
    if evidence.live and going:
        return f"the next sync would send {steps.counted(len(going), 'change')} for it"
    return "all is as the source says"


def _both(question: Question, step: Callable[[Evidence], Step], *more: Step) -> Step:
    """One step about section and person together: it stops where either does."""
    parts = [(f"{each.ref}: ", step(each)) for each in (question.section, question.person)]
    parts += [("", each) for each in more]
    verdicts = [each.ok for _, each in parts if each.ok is not None]
    return Step(
        stage=parts[0][1].stage,
        ok=all(verdicts) if verdicts else None,
        lines=tuple(f"{prefix}{line}" for prefix, each in parts for line in each.lines),
        because=tuple(f"{prefix}{(each.because or each.lines)[-1]}" for prefix, each in parts if each.ok is False),
    )


def _listing(question: Question) -> Step:
    listed, ref = question.listed, question.person.ref
    if listed is None:
        return Step(stage="read", ok=None, lines=("no roster of the section is known",))
    line = f"the roster of {question.section.ref} {'names' if listed else 'does not name'} {ref}"
    return Step(stage="read", ok=listed, lines=(line,))


def _membership_now(question: Question) -> Step:
    if question.inside is not None:
        roles = ", ".join(sorted(role.value for role in question.inside))
        line = f"in the class as {roles} (read just now)" if roles else "not in the class (read just now)"
        return Step(stage="directory", ok=bool(roles) or not question.listed, lines=(line,))
    if any(row in question.person.removed_by_hand for row in question.rows):
        return Step(stage="directory", ok=False, lines=("was put in by us and removed by hand",))
    roles = ", ".join(sorted(row.role.value for row in question.rows))
    line = f"in the class as {roles}" if roles else "not put in by us (--now looks who is in)"
    return Step(stage="directory", ok=bool(roles) or not question.listed, lines=(line,))


def _settled(question: Question) -> str | None:
    """The answer where the person is in the class, or on the way; None: some step has to say why not."""
    ref, place = question.person.ref, f"the class of {question.section.ref}"
    now = steps.current_changes(question.section, question.changes)
    going = [steps.sentence(sent.change) for sent in now if sent.withheld is None and sent.run == 0]
    if going:
        return f"the next sync would send {'; '.join(going)}"
    if not question.is_inside:
        return None
    if question.listed is not False:
        return f"{ref} is in {place}"
    kept = [f"{sent.change.kind.value} {steps.not_gone(sent)}" for sent in now if sent.withheld is not None]
    return f"{ref} is still in {place} though the roster no longer names them: {kept[-1] if kept else 'put in by hand'}"
