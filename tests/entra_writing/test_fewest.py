"""The fewest writes: what a first sync plans is what it sends, and no path needs fewer."""

from __future__ import annotations

import math

import pytest
from fake_executor import Bench
from writing_rig import STUDENT_SKU, license_of, small_school, student

from sds_daemon.plan.change import ChangeKind as K
from sds_daemon.targets.entra.batch import Item

STUDENTS, CLASSES, TEACHERS = 45, 3, 2
IN_A_CLASS = STUDENTS + 2 * TEACHERS  # a teacher is owner and member


def fewest(*, riders: bool) -> int:
    """One write for each object and each membership of the school, and full requests for everybody in a class.

    Where the first members ride along with the create, one request less for each class.
    """
    objects = 1 + STUDENTS + TEACHERS + CLASSES
    attached = STUDENTS + TEACHERS + CLASSES
    fillings = CLASSES * (math.ceil(IN_A_CLASS / 20) - (1 if riders else 0))
    return objects + attached + fillings


def writes(items: list[Item]) -> list[Item]:
    return [item for item in items if item.method != "GET"]


@pytest.mark.parametrize(
    ("education", "class_api", "riders"),
    [(True, "education", False), (True, "groups", True), (False, "groups", True)],
)
async def test_a_first_sync_sends_the_minimum(education: bool, class_api: str, riders: bool) -> None:
    bench = Bench(education=education, class_api=class_api)
    changes = small_school(students=STUDENTS, classes=CLASSES, teachers=TEACHERS)
    await bench.apply(changes)
    assert len(writes(bench.executor.items)) == fewest(riders=riders)


@pytest.mark.parametrize(("education", "class_api"), [(True, "education"), (True, "groups"), (False, "groups")])
async def test_members_of_a_class_cost_a_third_each_at_most(education: bool, class_api: str) -> None:
    bench = Bench(education=education, class_api=class_api)
    await bench.apply(small_school(students=STUDENTS, classes=CLASSES, teachers=TEACHERS))
    thirds = sum(math.ceil(item.adds / 3) for item in bench.executor.items)
    assert thirds == CLASSES * math.ceil(IN_A_CLASS / 3)


async def test_licences_are_one_write_for_each_person_and_those_given_by_a_group_are_none() -> None:
    bench = Bench()
    changes = small_school(students=STUDENTS, classes=CLASSES, teachers=TEACHERS)
    bench.skus["s"] = type(bench.skus["s"])(id=bench.skus["s"].id, part_number=STUDENT_SKU, seats=1000, seats_free=1000)
    direct = [license_of(student(n), STUDENT_SKU) for n in range(1, STUDENTS + 1)]
    await bench.apply([*changes, *direct])
    assert len([item for item in bench.executor.items if item.kind == K.ASSIGN_LICENSE]) == STUDENTS
    assert len(writes(bench.executor.items)) == fewest(riders=False) + STUDENTS
