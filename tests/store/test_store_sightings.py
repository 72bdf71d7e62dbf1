"""What runs saw of records, and links that are to be read anew."""

from __future__ import annotations

from store_samples import SOURCE, TENANT, link, school, section, student, teacher

from sds_daemon.plan.sighting import Sighting
from sds_daemon.store import Store

SEEN = Sighting(call="/ws/v1/school/4/student", received=3, expected=3, schools=("4",), value="ada", target="mail")
GONE = Sighting(absent="not among the students of school 4")


def test_the_newest_sighting_of_a_record_is_kept(store: Store) -> None:
    store.sightings.record("north", 1, {student(7): SEEN, teacher(7): SEEN}.items())
    store.sightings.record("north", 2, {student(7): GONE}.items())
    store.sightings.record("south", 3, {student(7): SEEN}.items())
    assert store.sightings.get("north", student(7)) == (2, GONE)
    assert store.sightings.get("north", teacher(7)) == (1, SEEN)
    assert store.sightings.get("north", section(7)) is None
    assert store.sightings.absent("north") == {student(7)}
    assert store.sightings.find("north", "7") == [student(7), teacher(7)]


def test_one_record_or_a_whole_profile_is_forgotten(store: Store) -> None:
    store.sightings.record("north", 1, {student(7): SEEN, student(8): SEEN}.items())
    store.sightings.record("south", 2, {student(7): SEEN}.items())
    assert store.sightings.forget("north", student(7)) == 1
    assert store.sightings.get("north", student(7)) is None
    assert store.sightings.get("north", student(8)) is not None
    assert store.sightings.forget("north") == 1
    assert store.sightings.get("south", student(7)) == (2, SEEN)


def test_a_sighting_tells_nobody_looked_from_nobody_found(store: Store) -> None:
    store.sightings.record("north", 1, {student(7): SEEN, student(8): Sighting(candidates=())}.items())
    asked = [store.sightings.get("north", student(number)) for number in (7, 8)]
    assert [saw[1].candidates for saw in asked if saw] == [None, ()]


def test_reset_forgets_what_was_written_to_objects_the_profile_owns(store: Store) -> None:
    book = store.links(SOURCE, TENANT)
    book.put(
        [
            link(student(7), written={"grade": "05"}, licenses_due=True),
            link(school(4), written={"display_name": "North"}),
            link(teacher(3), profile="south", written={"teacher_number": "N3"}),
        ]
    )
    assert book.reset("north", student(7)) == 1
    pupil, place = book.get(student(7)), book.get(school(4))
    assert pupil is not None and place is not None
    assert (pupil.written, pupil.unread, pupil.licenses_due) == ({}, True, True)
    assert (place.written, place.unread) == ({"display_name": "North"}, False)
    assert book.reset("north", teacher(3)) == 0, "another profile owns it"
    assert book.reset("north") == 2
    other = book.get(teacher(3))
    assert other is not None and other.written == {"teacher_number": "N3"}
    book.put([link(student(7), written={"grade": "05"})])
    pupil = book.get(student(7))
    assert pupil is not None and not pupil.unread
