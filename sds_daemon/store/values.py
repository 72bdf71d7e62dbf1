"""Between this project's values and the columns of the database."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sds_daemon.plan.change import Change, ChangeKind, Reason
from sds_daemon.roster.records import RecordKind, Ref

_encoder = msgspec.json.Encoder(order="deterministic")


def to_json(value: object) -> str:
    """JSON text, keys sorted: equal values give equal text. An empty dictionary is the empty text, for size."""
    if value == {}:
        return ""
    return _encoder.encode(value).decode()


def from_json(text: str) -> dict[str, Any]:
    """The dictionary behind `to_json`."""
    found: dict[str, Any] = msgspec.json.decode(text) if text else {}
    return found


def change_key(run_id: int, change: Change) -> dict[str, Any]:
    """The key columns of a change within its run; an absent member is the empty text."""
    return {
        "run_id": run_id,
        "kind": change.kind.value,
        "subject_kind": change.subject.kind.value,
        "subject_id": change.subject.sis_id,
        "member_kind": change.member.kind.value if change.member else "",
        "member_id": change.member.sis_id if change.member else "",
    }


def change_row(run_id: int, change: Change, state: str) -> dict[str, Any]:
    """All columns of a change that was not settled yet."""
    return change_key(run_id, change) | {
        "state": state,
        "reason": change.reason.name,
        "new_values": to_json(change.values),
        "old_values": to_json(change.before),
        "adopts": change.object_id,
        "withheld": "",
        "detail": "",
        "code": "",
        "status": 0,
        "object_id": None,
        "intended_at": None,
        "settled_at": None,
    }


def change_of(row: Mapping[Any, Any]) -> Change:
    """The change in a row of `run_change`."""
    member = Ref(RecordKind(row["member_kind"]), row["member_id"]) if row["member_kind"] else None
    return Change(
        kind=ChangeKind(row["kind"]),
        subject=Ref(RecordKind(row["subject_kind"]), row["subject_id"]),
        member=member,
        values=from_json(row["new_values"]),
        before=from_json(row["old_values"]),
        reason=reason_of(row["reason"]) or Reason.APPEARED,
        object_id=row["adopts"],
    )


def reason_of(name: str) -> Reason | None:
    """A reason by the name it is stored under; None for the empty name, and for one that a later version dropped."""
    return Reason.__members__.get(name)
