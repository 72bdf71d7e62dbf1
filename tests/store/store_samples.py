"""Invented records for the store's tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sds_daemon.plan.change import Change, ChangeKind
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Role, Store
from sds_daemon.sync.known import Known, Managed

SOURCE = "5d8a1c52-0000-4000-8000-000000000001"
NOBODY = 65534
TENANT = "7b0c9d3e-0000-4000-8000-000000000002"


def student(number: object) -> Ref:
    """A student."""
    return Ref(RecordKind.STUDENT, str(number))


def teacher(number: object) -> Ref:
    """A teacher."""
    return Ref(RecordKind.TEACHER, str(number))


def section(number: object) -> Ref:
    """A section."""
    return Ref(RecordKind.SECTION, str(number))


def school(number: object) -> Ref:
    """A school."""
    return Ref(RecordKind.SCHOOL, str(number))


def link(ref: Ref, object_id: str | None = None, **values: Any) -> Link:
    """A link with sensible values."""
    defaults: dict[str, Any] = {
        "profile": "north",
        "created": True,
        "rule": "created",
        "linked_at": datetime(2026, 9, 1, tzinfo=UTC),
    }
    return Link(ref=ref, object_id=object_id or f"object-{ref.kind}-{ref.sis_id}", **(defaults | values))


def managed(store: Store, profile: str) -> Mapping[Ref, frozenset[tuple[Role, Ref]]]:
    """What is recorded in the containers a profile has linked."""
    known = Known(store.links(SOURCE, TENANT).heads())
    return Managed(store.memberships(SOURCE, TENANT).packed(profile), known)


def create(ref: Ref, **values: Any) -> Change:
    """The creation of a person."""
    return Change(kind=ChangeKind.CREATE_USER, subject=ref, values=values)


def enroll(pupil: Ref, into: Ref) -> Change:
    """A membership to be added."""
    return Change(kind=ChangeKind.ADD_MEMBER, subject=into, member=pupil)


def in_child(work: Callable[[], str], *, unprivileged: bool = False) -> str:
    """Run in a forked process (as nobody, where this one is root: root may write anything) and return its answer."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if unprivileged and os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            answer = work()
        except BaseException as error:  # noqa: BLE001 - told to the parent
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer
