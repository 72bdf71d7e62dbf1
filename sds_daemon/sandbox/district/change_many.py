"""Operations on many rows at once."""

from __future__ import annotations

import random
from typing import Final

from sds_daemon.sandbox.district import model
from sds_daemon.sandbox.district.change_classes import enroll_in
from sds_daemon.sandbox.district.operation import Args, ChangeError, Result, operation

_TRIES: Final = 20


@operation
def move_students(args: Args) -> Result:
    """count, [seed] = 1: so many enrollments of today, chosen at random, end; each student enters another section."""
    count, chance = args.integer("count"), random.Random(args.integer("seed", 1))
    district, table = args.district, args.district.enrollments
    active = [row for row in table.rows() if table.is_active(row, args.today)]
    if count > len(active):
        raise ChangeError(f"move_students: {len(active)} enrollments stand today, so {count} cannot be moved")
    places: dict[tuple[int, int], list[int]] = {}
    for section in district.sections.values():
        places.setdefault((section.school, section.term), []).append(section.dcid)
    moved = 0
    for row in chance.sample(active, count):
        left = district.sections[table.section[row]]
        choice = places[left.school, left.term]
        attended = {table.section[other] for other in table.of_student(table.student[row])}
        entered = next((place for place in chance.choices(choice, k=_TRIES) if place not in attended), None)
        if entered is not None:
            district.set_enrollment(row, exit_date=args.today, state=model.DROPPED)
            enroll_in(args, district.students[table.student[row]], district.sections[entered])
            moved += 1
    return {"moved": moved}
