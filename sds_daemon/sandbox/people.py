"""The directory as it stands in a tenant that had accounts before: one user for each person of the district."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.model import District

User = dict[str, Any]


def directory_users(district: District, *, missing: int = 0, ambiguous: int = 0) -> Iterator[User]:
    """Users as Graph shows them, plus `licenses` (part numbers), for all active students and current teachers.

    The last `missing` people have none; the first `ambiguous` ones have a namesake with the same mailNickname.
    """
    people = list(_people(district))
    for index, (row, username, sku) in enumerate(people[: len(people) - missing]):
        user = _user(row, username, district.domain, sku)
        yield user
        if index < ambiguous:
            # Entra keeps UPNs and addresses unique; only the nickname can be held by two people.
            yield {**user, "userPrincipalName": f"other.{username}@{district.domain}", "mail": None, "licenses": []}


def _people(district: District) -> Iterator[tuple[model.Student | model.User, str, str]]:
    teaching = {row.user for row in district.staff.values() if row.status == 1 and row.type == 1}
    for user in district.users.values():
        if user.dcid in teaching and user.teacher_username:
            yield user, user.teacher_username, "STANDARDWOFFPACK_FACULTY"
    for student in district.students.values():
        if student.enroll_status == model.ACTIVE and student.username:
            yield student, student.username, "STANDARDWOFFPACK_STUDENT"


def _user(row: model.Student | model.User, username: str, domain: str, sku: str) -> User:
    address = f"{username}@{domain}"
    return {
        "userPrincipalName": address,
        "mail": address,
        "mailNickname": username,
        "displayName": f"{row.first_name} {row.last_name}",
        "givenName": row.first_name,
        "surname": row.last_name,
        "accountEnabled": True,
        "usageLocation": "US",
        "licenses": [sku],
    }
