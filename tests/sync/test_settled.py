"""A settled profile: a source that says the same as before is not worked out again, and nobody can tell."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fakes import GivenSource, job_of
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from memory_directory import MemoryDirectory
from plan_rig import NOW, SOURCE, District, House, Master, Pupil, Room, profile
from test_cycle_properties import read
from test_plan_properties import POLICIES, tidy, untidy

import sds_daemon
from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import LimitSettings, Profile
from sds_daemon.errors import SdsError, SourceUnreachable
from sds_daemon.roster.records import RecordKind, Ref, Snapshot
from sds_daemon.sources.base import Scope, Unchanged
from sds_daemon.store import Membership, Role, Store
from sds_daemon.store.held import WAITING
from sds_daemon.sync.approval import approve_run
from sds_daemon.sync.cycle import run_cycle
from sds_daemon.sync.evidence import Past
from sds_daemon.sync.focus import Focus
from sds_daemon.sync.reset import carry_out_reset, plan_reset
from sds_daemon.sync.settled import ground_of
from sds_daemon.sync.summary import RunSummary
from sds_daemon.sync.undo import undo_run
from sds_daemon.targets.base import DirectoryCache, DirectoryUser, MembersSeen

LIMITS = LimitSettings(removal_floor=2, removal_percent=0, section_removal_floor=99, shrink_rows=90, shrink_percent=90)
PUPILS = tuple(str(number) for number in range(1, 13))


def town(*inside: str, refused: int = 0) -> District:
    """A school with twelve pupils, the first of them unusable where asked for, and a class with those named."""
    states = ["refused"] * refused + ["ok"] * (len(PUPILS) - refused)
    return District(
        houses=(House(id="X"),),
        pupils=tuple(Pupil(id=each, school="X", state=state) for each, state in zip(PUPILS, states, strict=True)),
        masters=(Master(id="a", schools=("X",)),),
        rooms=(Room(id="r", school="X", students=inside, teachers=("a",)),),
    )


def marked(snapshot: Snapshot) -> Snapshot:
    """The snapshot with the fingerprint a reader that can tell would give it."""
    lasting = [sentence for sentence in snapshot.notices if sentence not in snapshot.passing]
    read_ = msgspec.structs.replace(snapshot, fingerprint="", notices=lasting, passing=[])
    text = msgspec.json.encode(read_, order="deterministic")
    return msgspec.structs.replace(snapshot, fingerprint=hashlib.sha256(text).hexdigest())


class Watched(GivenSource):
    """Remembers what it was asked and how it answered."""

    def __init__(self, snapshot: Snapshot | None) -> None:
        super().__init__(snapshot)
        self.known: list[str | None] = []
        self.unchanged = False

    async def read(self, scope: Scope, *, known: str | None = None, **more: Any) -> Any:  # type: ignore[override]
        self.known.append(known)
        answer = await super().read(scope, known=known, **more)
        self.unchanged = isinstance(answer, Unchanged)
        return answer


class Office:
    """One profile and what an administrator does with it. `telling`: its reader can tell an unchanged source."""

    def __init__(self, folder: Path, policy: str = "mirror", *, telling: bool = True) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.telling = telling
        self.clock = FixedClock(NOW)
        self.path = folder / "state" / "state.db"
        self.store = Store.open(self.path, self.clock)
        self.directory = MemoryDirectory()
        self.profile: Profile = profile(policy, LIMITS, keep_passwords=False, enabled=True)
        self.source = Watched(None)

    def sync(self, district: District | Snapshot | None, **more: Any) -> RunSummary:
        self.clock.advance(timedelta(minutes=1))
        snapshot = read(district) if isinstance(district, District) else district
        self.source = Watched(marked(snapshot) if snapshot is not None and self.telling else snapshot)
        job = job_of(self.profile, self.source, self.directory, self.store, self.clock, self.folder)
        for name, value in more.items():
            setattr(job, name, value)
        return asyncio.run(run_cycle(job))[0]

    def settle(self, district: District) -> RunSummary:
        """Sync until nothing is left to do, and once more: the last run repeats the one before."""
        for _ in range(4):
            if (last := self.sync(district)).repeats:
                return last
        raise AssertionError("it does not settle")

    def inside(self) -> set[str]:
        """Pupils in the class."""
        return {each.sis_id for each in self.directory.people_in("r")} - {"a"}

    def see(self, *relations: MembersSeen) -> None:
        """The next refresh shows this of members."""
        self.directory.news.append(lambda cache: cache.observe_members(relations))

    def remove_by_hand(self, pupil: str) -> None:
        """Somebody takes a pupil out of the class in Teams, and the next refresh shows it."""
        self.directory.inside.discard(("member", ref("section", "r"), ref("student", pupil)))
        self.see(MembersSeen(id="section r", relation="members", removed=(f"student {pupil}",)))

    def dump(self) -> dict[str, list[dict[str, Any]]]:
        """What is stored, without what tells how it was found out."""
        with closing(sqlite3.connect(self.path)) as connection:
            connection.row_factory = sqlite3.Row
            names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            rows = {name: [dict(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
        for name in ("tally", "directory_cursor", "sqlite_sequence", "lease", "run_change"):
            del rows[name]
        for name, column in (("baseline", "settled"), ("baseline", "accepted"), ("sighting", "run_id")):
            for row in rows[name]:
                del row[column]
        for row in rows["run"]:
            row["summary"] = outcome(msgspec.json.decode(row["summary"], type=RunSummary)) if row["summary"] else None
        return rows

    def changes(self, run: int) -> list[Any]:
        """What `runs show` lists of a run, without instants."""
        decided = self.store.runs.get(run).decided_by
        found = self.store.runs.changes(decided)
        return [(each.change, each.state, each.withheld, each.detail) for each in found]


def outcome(summary: RunSummary) -> dict[str, Any]:
    """What a run came to, without what it took."""
    took = {"seconds", "source_calls", "requests", "repeats"}
    return {name: value for name, value in summary.as_json().items() if name not in took}


def ref(kind: str, sis_id: str) -> Ref:
    return Ref(RecordKind(kind), sis_id)


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    with made.store:
        yield made


def test_the_third_run_of_the_same_is_not_worked_out(office: Office) -> None:
    first, second = office.sync(town(*PUPILS)), office.sync(town(*PUPILS))
    assert (first.status, second.status, first.repeats, second.repeats) == ("success", "nothing_to_do", None, None)
    before = office.dump()
    third, fourth = office.sync(town(*PUPILS)), office.sync(town(*PUPILS))
    assert (third.repeats, fourth.repeats) == (second.run, second.run)
    assert office.source.unchanged
    assert outcome(third) | {"run": 0} == outcome(second) | {"run": 0}
    after = office.dump()
    assert [row["id"] for row in after.pop("run")] == [1, 2, 3, 4]
    assert after == {name: rows for name, rows in before.items() if name != "run"}, "no other row was written"
    last = office.store.runs.get(fourth.run)
    assert (last.status, last.source_uuid, last.tenant_id) == ("nothing_to_do", SOURCE, "tenant")


def test_a_reader_that_cannot_tell_is_read_whole_every_time(office: Office) -> None:
    office.telling = False
    runs = [office.sync(town(*PUPILS)) for _ in range(4)]
    assert [run.repeats for run in runs] == [None] * 4
    assert office.source.known == [None]


def test_what_the_source_changes_is_worked_out_at_once(office: Office) -> None:
    office.settle(town(*PUPILS))
    joined = office.sync(town(*PUPILS[:-1]))
    assert (joined.repeats, joined.applied) == (None, {"member.remove": 1})
    assert office.sync(town(*PUPILS[:-1])).repeats is None, "the run after a change looks whether anything is left"
    assert office.sync(town(*PUPILS[:-1])).repeats is not None
    assert office.sync(town(*PUPILS)).applied == {"member.add": 1}


def test_a_source_that_fails_meanwhile_does_not_unsettle(office: Office) -> None:
    before = office.settle(town(*PUPILS))
    with pytest.raises(SourceUnreachable):
        office.sync(None)
    again = office.sync(town(*PUPILS))
    assert again.repeats == before.repeats
    assert office.store.profiles.state("oak").failures == 0


def relax(office: Office) -> None:
    office.store.relaxations.put("oak", office.clock.now() + timedelta(hours=2), {"removal_floor": 50})


def put_link(office: Office, **values: Any) -> None:
    links = office.store.links(SOURCE, "tenant")
    link = links.get(ref("student", "3"))
    assert link is not None
    links.put([msgspec.structs.replace(link, **values)])


def forget_membership(office: Office) -> None:
    row = Membership(ref("section", "r"), ref("student", "3"), Role.MEMBER)
    assert office.store.memberships(SOURCE, "tenant").remove([row]) == 1


def reset(office: Office, focus: Focus | None) -> None:
    past = Past(office.store, office.profile, office.clock.now())
    carry_out_reset(office.store, plan_reset(office.store, office.profile, past, focus))


def take_back(office: Office) -> None:
    job = job_of(office.profile, office.source, office.directory, office.store, office.clock, office.folder)
    asyncio.run(undo_run(job, 1))
    office.store.profiles.resume("oak")


def set_profile(office: Office, **values: Any) -> None:
    office.profile = office.profile.model_copy(update=values)


def other_facts(office: Office) -> None:
    known = asyncio.run(office.directory.facts())

    async def facts() -> Any:
        return msgspec.structs.replace(known, domains=(*known.domains, "new.example.org"))

    office.directory.facts = facts  # type: ignore[method-assign]


def stop_approved(office: Office) -> None:
    office.store.source_stops.put("oak", 1, {"students": 5}, [])
    office.store.source_stops.approve(1)


DISTURBANCES: dict[str, Callable[[Office], object]] = {
    "the policy": lambda office: set_profile(office, policy="add-only"),
    "an attribute": lambda office: set_profile(office, class_name_updates=True),
    "a limit": lambda office: set_profile(office, limits=LIMITS.model_copy(update={"removal_floor": 3})),
    "a relaxed limit": relax,
    "facts of the tenant": other_facts,
    "attributes recorded otherwise": lambda office: put_link(office, written={"grade": "1"}),
    "a link of another profile": lambda office: put_link(office, profile="elm"),
    "a link dropped": lambda office: office.store.links(SOURCE, "tenant").drop(ref("student", "3")),
    "a membership forgotten": forget_membership,
    "a member removed by hand": lambda office: office.remove_by_hand("3"),
    "a user in the directory": lambda office: office.directory.news.append(
        lambda cache: cache.put_users([DirectoryUser(id="u", upn="new@contoso.edu")])
    ),
    "a user deleted": lambda office: office.directory.news.append(
        lambda cache: cache.forget("user", ["student 3"], purged=False)
    ),
    "a user another profile has read": lambda office: office.store.directory("tenant").put_users(
        [DirectoryUser(id="u", upn="new@contoso.edu")]
    ),
    "a directory to be read anew": lambda office: office.store.directory("tenant").restart(),
    "a reset of one": lambda office: reset(office, Focus(what="person", text="student 3")),
    "a reset of all": lambda office: reset(office, None),
    "a run taken back": take_back,
    "an approved stop": stop_approved,
    "a forgotten baseline": lambda office: office.store.baselines.forget("oak"),
}


@pytest.mark.parametrize("disturb", DISTURBANCES.values(), ids=DISTURBANCES)
def test_whatever_else_has_changed_is_worked_out(office: Office, disturb: Callable[[Office], object]) -> None:
    office.settle(town(*PUPILS))
    disturb(office)
    assert office.sync(town(*PUPILS)).repeats is None
    assert not office.source.unchanged


def test_the_rules_are_the_same_in_every_process(office: Office) -> None:
    """A set has another order in each process: `sync` run by a timer would work out everything every time."""
    known = asyncio.run(office.directory.facts())
    job = job_of(office.profile, office.source, office.directory, office.store, office.clock, office.folder)
    orders = [dict.fromkeys(names) for names in (("a", "b", "c", "d"), ("d", "b", "a", "c"))]
    facts = [
        msgspec.structs.replace(known, writable={RecordKind.STUDENT: _InOrder(order)}, domains=tuple(order))
        for order in orders
    ]
    assert ground_of(job, facts[0], SOURCE) == ground_of(job, facts[1], SOURCE)
    other = msgspec.structs.replace(known, writable={RecordKind.STUDENT: frozenset("abc")}, domains=facts[0].domains)
    assert ground_of(job, other, SOURCE) != ground_of(job, facts[0], SOURCE)


class _InOrder(frozenset[str]):
    """A set that is gone through in a given order, as one of another process is."""

    def __new__(cls, names: Iterable[str]) -> _InOrder:
        made = super().__new__(cls, names)
        made.names = list(names)
        return made

    names: list[str]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


@pytest.mark.parametrize("wish", [{"full": True}, {"accept_shrink": True}, {"preview": True}], ids=str)
def test_a_person_can_have_it_worked_out(office: Office, wish: dict[str, bool]) -> None:
    office.settle(town(*PUPILS))
    assert office.sync(town(*PUPILS), **wish).repeats is None


def test_a_single_sync_is_worked_out_and_unsettles(office: Office) -> None:
    office.settle(town(*PUPILS))
    single = office.sync(town(*PUPILS), only=Focus(what="person", text="student 3"))
    assert single.repeats is None
    assert office.sync(town(*PUPILS)).repeats is None


def test_another_version_of_the_program_works_it_out(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.settle(town(*PUPILS))
    monkeypatch.setattr("sds_daemon.sync.settled.__version__", sds_daemon.__version__ + ".1")
    assert office.sync(town(*PUPILS)).repeats is None


@pytest.mark.parametrize("text", ["{}", "not json", '{"run": 2}'])
def test_what_another_version_kept_is_passed_over(office: Office, text: str) -> None:
    office.settle(town(*PUPILS))
    baseline = office.store.baselines.get("oak")
    assert baseline is not None
    office.store.baselines.accept("oak", baseline, text)
    assert office.sync(town(*PUPILS)).repeats is None
    assert office.settle(town(*PUPILS)).repeats


def test_a_run_that_was_cleaned_up_is_not_repeated(office: Office) -> None:
    repeated = office.settle(town(*PUPILS)).repeats
    office.clock.advance(timedelta(days=91))
    office.store.runs.prune(90)
    assert all(run.id != repeated for run in office.store.runs.list("oak", 50))
    assert office.sync(town(*PUPILS)).repeats is None


def test_limits_that_are_no_longer_relaxed_are_worked_out(office: Office) -> None:
    relax(office)
    held_back = office.settle(town(*PUPILS))
    assert [notice for notice in held_back.notices if "relaxed until" in notice]
    office.clock.advance(timedelta(hours=3))
    after = office.sync(town(*PUPILS))
    assert (after.repeats, after.notices) == (None, [])


def test_an_absence_within_the_lag_is_noticed_when_it_counts(office: Office) -> None:
    """The pupil was put in moments ago: that the directory does not show her yet means nothing, for a while."""
    office.sync(town(*PUPILS))
    office.remove_by_hand("3")
    early = [office.sync(town(*PUPILS)) for _ in range(5)]
    assert [run.repeats for run in early] == [None] * 5, "it might come to count at any time"
    assert not office.store.drift.open("oak")
    office.clock.advance(timedelta(minutes=16))
    told = office.sync(town(*PUPILS))
    assert [notice for notice in told.notices if "removed by hand" in notice]
    assert office.settle(town(*PUPILS)).notices == [], "and after that it is known, and settled"
    assert office.inside() == set(PUPILS) - {"3"}


def test_a_clock_set_back_before_an_absence_is_worked_out(office: Office) -> None:
    office.sync(town(*PUPILS))
    office.clock.advance(timedelta(hours=1))
    office.remove_by_hand("3")
    office.settle(town(*PUPILS))
    office.clock.advance(timedelta(minutes=-30))
    assert office.sync(town(*PUPILS)).repeats is None
    office.clock.advance(timedelta(hours=1))
    assert office.settle(town(*PUPILS)).repeats


def test_what_is_held_goes_on_being_held_and_can_be_approved_by_the_last_run(office: Office) -> None:
    office.sync(town(*PUPILS))
    held = office.settle(town(*PUPILS[:5]))
    assert (held.status, held.held, held.exit_code) == ("held", {"member.remove": 7}, 4)
    assert len(office.changes(held.run)) == 7
    current = office.store.held.current("oak")
    assert current is not None and current.state == WAITING
    approve_run(office.store, held.run)
    assert office.sync(town(*PUPILS[:5])).applied == {"member.remove": 7}


def test_what_was_rejected_stays_skipped(office: Office) -> None:
    office.sync(town(*PUPILS))
    held = office.settle(town(*PUPILS[:5]))
    assert held.held_number is not None
    office.store.held.reject(held.held_number)
    assert office.sync(town(*PUPILS[:5])).repeats is None
    skipped = office.settle(town(*PUPILS[:5]))
    assert (skipped.status, skipped.skipped) == ("nothing_to_do", {"member.remove": 7})


def test_issues_and_drift_are_seen_again(office: Office) -> None:
    office.sync(town(*PUPILS, refused=2))
    office.clock.advance(timedelta(hours=1))
    office.remove_by_hand("9")
    last = office.settle(town(*PUPILS, refused=2))
    assert sum(last.issues.values()) == 2
    assert last.exit_code == 1
    records = office.store.issues.open("oak")
    assert {(each.run_id, each.last_seen) for each in records} == {(last.run, office.clock.now())}
    assert [each.last_seen for each in office.store.drift.open("oak")] == [office.clock.now()]
    assert all(each.first_seen < each.last_seen for each in records)


def test_an_answer_of_the_directory_is_not_taken_for_granted(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a reset record's object holds is asked until there is an answer: the next one may be another."""
    office.sync(town(*PUPILS))
    reset(office, Focus(what="person", text="student 3"))

    async def nothing(objects: Any) -> dict[Ref, dict[str, str]]:
        office.directory.asked += 1
        return {}

    with monkeypatch.context() as patch:
        patch.setattr(office.directory, "held_values", nothing)
        assert [office.sync(town(*PUPILS)).repeats for _ in range(4)] == [None] * 4
    assert office.settle(town(*PUPILS)).repeats


def test_a_part_that_was_not_proved_is_read_again(office: Office) -> None:
    district = town(*PUPILS)
    doubted = msgspec.structs.replace(district, houses=(House(id="X", unproved=True),))
    assert [office.sync(doubted).repeats for _ in range(4)] == [None] * 4


def test_a_new_day_is_worked_out(office: Office) -> None:
    """The day is part of what the reader's fingerprint covers."""
    office.settle(town(*PUPILS))
    tomorrow = msgspec.structs.replace(read(town(*PUPILS)), day=NOW.date() + timedelta(days=1))
    office.clock.advance(timedelta(days=1))
    assert office.sync(tomorrow).repeats is None
    assert office.sync(tomorrow).repeats is not None


def test_notices_of_the_reader_and_of_the_comparison_are_repeated(office: Office) -> None:
    snapshot = read(town(*PUPILS))
    snapshot.notices.append("one school was passed over")
    for _ in range(2):
        office.sync(snapshot)
    last = office.sync(snapshot)
    assert (last.repeats is not None, last.notices) == (True, ["one school was passed over"])


def test_what_a_reading_said_of_itself_is_not_repeated(office: Office) -> None:
    snapshot = read(town(*PUPILS))
    snapshot.notices += ["one school was passed over", "the clock was wrong this time"]
    snapshot.passing.append("the clock was wrong this time")
    for _ in range(2):
        office.sync(snapshot)
    right = msgspec.structs.replace(snapshot, notices=["one school was passed over"], passing=[])
    last = office.sync(right)
    assert (last.repeats is not None, last.notices) == (True, ["one school was passed over"])


def another_user(cache: DirectoryCache) -> None:
    cache.put_users([DirectoryUser(id="u", upn="new@contoso.edu")])


EVENTS = st.sampled_from(
    (
        *("none", "none", "hand", "back", "user", "gone", "group", "wait", "long"),
        *("approve", "reject", "link", "row", "reset", "policy", "limits", "fail"),
    )
)


def happen(office: Office, event: str) -> None:
    """What goes on between two cycles."""
    links, rows = office.store.links(SOURCE, "tenant"), office.store.memberships(SOURCE, "tenant")
    held = office.store.held.current("oak")
    seen = MembersSeen(id="section r1", relation="members", removed=("student 1", "student 2", "teacher a"))
    if event == "hand":
        office.see(seen)
    elif event == "back":
        office.see(MembersSeen(id="section r1", relation="members", present=seen.removed))
    elif event == "user":
        office.directory.news.append(another_user)
    elif event in ("gone", "group"):
        kind, key = ("user", "student 2") if event == "gone" else ("group", "section r2")
        office.directory.news.append(lambda cache: cache.forget(kind, [key], purged=False))
    elif event in ("wait", "long"):
        office.clock.advance(timedelta(minutes=16 if event == "wait" else 60))
    elif event == "approve" and held is not None:
        office.store.held.approve(held.number)
    elif event == "reject" and held is not None:
        office.store.held.reject(held.number)
    elif event == "link":
        links.write(ref("student", "3"), {"grade": "77"})
    elif event == "row":
        rows.remove([Membership(ref("section", "r1"), ref("student", "4"), Role.MEMBER)])
    elif event == "reset":
        links.reset("oak")
    elif event == "policy":
        set_profile(office, policy="sds" if office.profile.policy == "mirror" else "mirror")
    elif event == "limits":
        floor = 99 if office.profile.limits.removal_floor == 2 else 2
        set_profile(office, limits=LIMITS.model_copy(update={"removal_floor": floor}))


STORIES = st.lists(st.tuples(EVENTS, st.integers(1, 3)), min_size=2, max_size=6)
DAYS = st.lists(st.tuples(untidy(), STORIES), max_size=2)


def cycle(office: Office, district: District | None) -> tuple[str, dict[str, Any], list[Any]]:
    """How one cycle ends: its error or its outcome, and its changes."""
    try:
        summary = office.sync(district)
    except SdsError as error:
        return str(error), {}, []
    return "", outcome(summary), office.changes(summary.run)


@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@pytest.mark.timeout(300)
@given(tidy(), STORIES, DAYS, POLICIES)
def test_nobody_can_tell_a_run_that_repeats_from_one_that_was_worked_out(
    first: District, story: list[tuple[str, int]], days: list[tuple[District, list[tuple[str, int]]]], policy: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        quick = Office(Path(folder) / "quick", policy)
        plain = Office(Path(folder) / "plain", policy, telling=False)
        with quick.store, plain.store:
            for district, events in [(first, story), *days]:
                for event, cycles in events:
                    for office in (quick, plain):
                        happen(office, event)
                    for _ in range(cycles):
                        given = None if event == "fail" else district
                        assert cycle(quick, given) == cycle(plain, given)
                        assert quick.dump() == plain.dump()
                        assert quick.directory.objects == plain.directory.objects
                        assert quick.directory.inside == plain.directory.inside


@settings(max_examples=10, deadline=None)
@given(tidy(), POLICIES)
def test_a_district_in_order_settles(district: District, policy: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        office = Office(Path(folder) / "office", policy)
        with office.store:
            assert office.settle(district).repeats
