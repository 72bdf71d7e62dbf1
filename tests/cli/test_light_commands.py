"""profiles, plugin, backup, status, runs, issues, links: what they print and what they leave alone."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sds_daemon.clock import FixedClock
from sds_daemon.plan.change import Change, ChangeKind, Outcome, Reason, Result, Withheld
from sds_daemon.plan.issues import Issue, IssueCode, Severity
from sds_daemon.roster.records import RecordKind, Ref
from sds_daemon.store import Link, Membership, Role, Store
from sds_daemon.targets.base import DirectoryUser

Program = Callable[..., Any]

STUDENT = Ref(RecordKind.STUDENT, "101")
TEACHER = Ref(RecordKind.TEACHER, "101")
SECTION = Ref(RecordKind.SECTION, "9001")
SOURCE, TENANT = "6f1c2f0e-0000-4000-8000-000000000001", "5d0c4fc4-8f1c-4b4e-9a75-2f7cf3a6c9b1"


def of_json(ended: Any) -> Any:
    assert ended.code == 0, ended.err
    return json.loads(ended.out)


class TestNothingYet:
    """Before the first run every reading command answers, and makes no file."""

    @pytest.mark.parametrize(
        ("arguments", "key"),
        [
            (["status"], "profiles"),
            (["runs"], "runs"),
            (["issues", "list"], "profiles"),
            (["issues", "export"], "issues"),
            (["links", "show", "1"], "links"),
            (["profiles", "list"], "profiles"),
        ],
    )
    def test_reads(self, program: Program, config: Path, arguments: list[str], key: str) -> None:
        assert key in of_json(program(*arguments, "--json"))
        assert program(*arguments).code == 0
        assert [path.name for path in config.parent.iterdir()] == ["config.toml"]

    @pytest.mark.parametrize("arguments", [["status"], ["profiles", "list"], ["issues", "list"], ["check"]])
    def test_without_a_profile_the_way_to_one_is_shown(
        self, program: Program, config: Path, arguments: list[str]
    ) -> None:
        config.write_text("")
        ended = program(*arguments)
        assert (ended.code, ended.out) == (0, "no profile yet; write one with sds-daemon init\n")

    def test_backup_has_nothing_to_copy(self, program: Program, config: Path) -> None:
        assert program("backup", str(config.parent / "copy.db")).code == 3
        assert [path.name for path in config.parent.iterdir()] == ["config.toml"]


class TestProfiles:
    def test_list(self, program: Program) -> None:
        listed = of_json(program("profiles", "list", "--json"))["profiles"]
        assert [(each["name"], each["enabled"], each["schools"]) for each in listed] == [
            ("pilot", True, ["Maple Street Elementary"]),
            ("later", False, ["Oak High"]),
        ]
        lines = program("profiles", "list").out.splitlines()
        assert [line.split()[:2] for line in lines] == [["profile", "enabled"], ["pilot", "yes"], ["later", "no"]]

    def test_enable_and_disable_edit_the_file(self, program: Program, config: Path) -> None:
        before = config.read_text()
        assert program("profiles", "disable", "pilot").code == 0
        assert config.read_text() == before.replace("enabled = true   # since", "enabled = false   # since")
        assert program("profiles", "enable", "pilot").code == 0
        assert config.read_text() == before
        assert "already" in program("profiles", "enable", "pilot").out

    def test_unknown(self, program: Program) -> None:
        for word in ("enable", "disable"):
            ended = program("profiles", word, "pilto")
            assert (ended.code, "pilot" in ended.err) == (2, True)

    def test_a_faulty_configuration_can_be_disabled_but_not_enabled(self, program: Program, config: Path) -> None:
        config.write_text(config.read_text() + "nonsense = 1\n")
        assert program("profiles", "enable", "later").code == 2
        assert "enabled = true" in config.read_text()
        assert program("profiles", "disable", "pilot").code == 0
        assert "enabled = true" not in config.read_text()

    def test_an_override_is_pointed_out(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SDS_DAEMON_PROFILES__PILOT__ENABLED", "true")
        assert "$SDS_DAEMON_PROFILES__PILOT__ENABLED" in program("profiles", "disable", "pilot").err


class TestPlugin:
    def test_build(self, program: Program, tmp_path: Path) -> None:
        out = tmp_path / "plugin.zip"
        ended = program("plugin", "build", str(out), config_path=None)
        assert (ended.code, "Plugin Management" in ended.out) == (0, True)
        with zipfile.ZipFile(out) as package:
            assert "plugin.xml" in package.namelist()

    @pytest.mark.parametrize("name", ["plugin.tar", "plugin", "none/plugin.zip"])
    def test_refused(self, program: Program, tmp_path: Path, name: str) -> None:
        assert program("plugin", "build", str(tmp_path / name), config_path=None).code == 2
        assert list(tmp_path.glob("plugin*")) == []


class TestBackup:
    def test_a_copy_that_opens(self, program: Program, store: Store, clock: FixedClock, tmp_path: Path) -> None:
        run = store.runs.begin("pilot", SOURCE, TENANT)
        out = tmp_path / "copy.db"
        assert program("backup", str(out)).code == 0
        assert out.stat().st_mode & 0o777 == 0o600
        with Store.open(out, clock) as copy:
            assert copy.runs.get(run).profile == "pilot"

    def test_refused(self, program: Program, store: Store, tmp_path: Path) -> None:
        assert program("backup", str(tmp_path)).code == 2
        assert program("backup", str(store.path)).code == 2


def end_run(store: Store, clock: FixedClock, status: str, error: str = "", **summary: Any) -> int:
    """A run that took 90 seconds."""
    run = store.runs.begin("pilot", SOURCE, TENANT)
    clock.advance(timedelta(seconds=90))
    store.runs.finish(run, status, summary, error)
    return run


class TestStatus:
    def standing(self, program: Program, profile: str = "pilot") -> Any:
        (found,) = of_json(program("status", profile, "--json"))["profiles"]
        return found

    @pytest.mark.parametrize(
        ("ended", "error", "status"),
        [
            ("success", "", "success"),
            ("success_with_issues", "", "success"),
            ("nothing_to_do", "", "success"),
            ("held", "", "validationError"),
            ("failed", "PowerSchool is down", "error"),
            ("interrupted", "the process ended before the run did", "error"),
        ],
    )
    def test_of_the_last_run(
        self, program: Program, store: Store, clock: FixedClock, ended: str, error: str, status: str
    ) -> None:
        run = end_run(store, clock, ended, error)
        found = self.standing(program)
        assert (found["status"], found["last_run"]["run"]) == (status, run)
        assert found["last_run"]["finished"] == "2026-09-01T06:01:30Z"
        assert found["next"] == "2026-09-01T06:02:30Z"
        assert (found["last_success"] is not None) == (status == "success")
        if error:
            assert error in program("status").out

    @pytest.mark.parametrize(("calls", "due"), [(200, "2026-09-01T06:02:30Z"), (201, "2026-09-01T06:11:30Z")])
    def test_the_next_waits_longer_where_reading_costs_more(
        self, program: Program, store: Store, clock: FixedClock, calls: int, due: str
    ) -> None:
        end_run(store, clock, "success", source_calls=calls)
        assert self.standing(program)["next"] == due

    def test_a_run_somebody_stopped_tells_nothing(self, program: Program, store: Store, clock: FixedClock) -> None:
        end_run(store, clock, "success")
        end_run(store, clock, "interrupted")
        assert self.standing(program)["status"] == "success"

    def test_paused(self, program: Program, store: Store, clock: FixedClock) -> None:
        assert self.standing(program)["status"] == "paused"
        assert "pilot    never run" in program("status").out
        assert "pilot: it has never run" in program("status").out
        later = self.standing(program, "later")
        assert (later["status"], later["enabled"], later["next"]) == ("paused", False, None)

    def test_in_progress(self, program: Program, store: Store) -> None:
        with store.lease("pilot"):
            found = self.standing(program)
            assert (found["status"], found["next"]) == ("inProgress", None)
            assert "process" in found["working"]
        assert self.standing(program)["status"] == "paused"

    def test_quarantined_with_reason_and_next_attempt(self, program: Program, store: Store, clock: FixedClock) -> None:
        end_run(store, clock, "failed", "refused")
        state = store.profiles.quarantine("pilot", "refused ten times")
        found = self.standing(program)
        assert (found["status"], found["reason"]) == ("quarantined", "refused ten times")
        assert state.next_attempt is not None
        assert found["next"] == state.next_attempt.strftime("%Y-%m-%dT%H:%M:%SZ")

    def test_after_a_failure_the_next_attempt_comes_sooner_than_the_pause(
        self, program: Program, store: Store, clock: FixedClock
    ) -> None:
        end_run(store, clock, "failed", "PowerSchool is down")
        store.profiles.failed("pilot", "PowerSchool is down")
        assert self.standing(program)["next"] == "2026-09-01T06:02:30Z", "a minute, not the ten of the profile"

    def test_issues_and_held_changes(self, program: Program, store: Store, clock: FixedClock) -> None:
        run = end_run(store, clock, "held")
        removal = Change(kind=ChangeKind.REMOVE_MEMBER, subject=SECTION, member=STUDENT, reason=Reason.LEFT_SECTION)
        store.held.put("pilot", run, [Withheld(change=removal, reason=Reason.LIMIT)])
        note = Issue(ref=TEACHER, code=IssueCode.ON_PREMISES, detail="x", severity=Severity.NOTE)
        store.issues.record("pilot", run, [Issue(ref=STUDENT, code=IssueCode.UNMATCHED, detail="x"), note])
        found = self.standing(program)
        assert (found["issues"], found["held"]) == (1, run)
        assert f"run {run}" in program("status").out

    def test_unknown_profile(self, program: Program) -> None:
        assert program("status", "nobody").code == 2


@pytest.fixture
def run(store: Store, clock: FixedClock) -> int:
    """A run with a change in several states."""
    number = store.runs.begin("pilot", SOURCE, TENANT)
    made = Change(kind=ChangeKind.CREATE_CLASS, subject=SECTION, values={"display_name": "=Art\x1b[31m"})
    added = Change(kind=ChangeKind.ADD_MEMBER, subject=SECTION, member=STUDENT)
    removed = Change(kind=ChangeKind.REMOVE_OWNER, subject=SECTION, member=TEACHER, reason=Reason.LEFT_SECTION)
    store.runs.record_plan(number, [Withheld(change=removed, reason=Reason.POLICY_KEEPS)], "skipped")
    store.runs.intend(number, [made, added])
    store.runs.settle(
        number,
        [
            Outcome(change=made, result=Result.DONE, object_id="g-1", status=201),
            Outcome(change=added, result=Result.FAILED, status=400, code="RequestRefused", detail="refused\nfor good"),
        ],
    )
    clock.advance(timedelta(seconds=5))
    proof = {"proved": False, "resources": {"students": {"expected": 3, "received": 2}}}
    proof["unproved"] = [{"resource": "students", "school": "1", "reason": "one is missing", "parts": []}]
    summary = {"applied": {"class.create": 1}, "skipped": {"owner.remove": 1}, "issues": {"X": 2}, "proof": proof}
    store.runs.finish(number, "success_with_issues", summary)
    return number


class TestRuns:
    def test_list(self, program: Program, run: int) -> None:
        (listed,) = of_json(program("runs", "--json"))["runs"]
        assert (listed["id"], listed["status"], listed["started"]) == (
            run,
            "success_with_issues",
            "2026-09-01T06:00:00Z",
        )
        line = program("runs").out.splitlines()[1].split()
        assert line == [str(run), "pilot", "success_with_issues", "2026-09-01", "06:00:00", "5.0", "1", "0", "1", "2"]

    def test_list_of_one_profile_and_limit(self, program: Program, store: Store, clock: FixedClock) -> None:
        numbers = [end_run(store, clock, "success") for _ in range(3)]
        assert of_json(program("runs", "--profile", "later", "--json"))["runs"] == []
        listed = of_json(program("runs", "--profile", "pilot", "--limit", "2", "--json"))["runs"]
        assert [each["id"] for each in listed] == [numbers[2], numbers[1]]

    def test_show(self, program: Program, run: int) -> None:
        out = program("runs", "show", str(run)).out
        assert "read students: 2 received, 3 expected" in out
        assert "unproved: students of school 1: one is missing" in out
        assert "failed: member.add student 101 in section 9001" in out
        assert "(HTTP 400)" in out
        assert "skipped: owner.remove teacher 101 in section 9001 (kept by the policy)" in out
        assert out.index("  failed: ") < out.index("  done: ")
        assert "\x1b" not in out

    def test_show_json(self, program: Program, run: int) -> None:
        shown = of_json(program("runs", "show", str(run), "--json"))
        assert shown["run"]["summary"]["proof"]["proved"] is False
        by_state = {change["state"]: change for change in shown["changes"]}
        assert by_state["failed"]["member"] == {"kind": "student", "sis_id": "101"}
        assert by_state["failed"]["status"] == 400
        assert by_state["skipped"]["withheld"] == "kept by the policy"
        assert by_state["done"]["object_id"] == "g-1"

    def test_show_csv(self, program: Program, run: int) -> None:
        rows = list(csv.DictReader(io.StringIO(program("runs", "show", str(run), "--csv").out)))
        assert {row["state"]: row["subject_id"] for row in rows} == {
            "done": "9001",
            "failed": "9001",
            "skipped": "9001",
        }
        (made,) = (row for row in rows if row["state"] == "done")
        assert json.loads(made["values"]) == {"display_name": "=Art\x1b[31m"}

    def test_show_one_state(self, program: Program, run: int) -> None:
        shown = of_json(program("runs", "show", str(run), "--state", "failed", "--json"))
        assert [change["state"] for change in shown["changes"]] == ["failed"]

    def test_long_lists_are_cut_unless_all_is_asked(self, program: Program, store: Store) -> None:
        number = store.runs.begin("pilot", SOURCE, TENANT)
        members = [Ref(RecordKind.STUDENT, str(i)) for i in range(30)]
        changes = [Change(kind=ChangeKind.ADD_MEMBER, subject=SECTION, member=member) for member in members]
        store.runs.record_plan(number, changes)
        short, whole = (program("runs", "show", str(number), *more).out for more in ([], ["--all"]))
        assert (short.count("  planned: "), whole.count("  planned: ")) == (5, 30)
        assert "--all lists them" in short

    def test_unknown(self, program: Program, store: Store) -> None:
        ended = program("runs", "show", "7")
        assert (ended.code, ended.err) == (2, "Error: there is no run 7 — sds-daemon runs lists them\n")


class TestIssues:
    @pytest.fixture(autouse=True)
    def _issues(self, store: Store, clock: FixedClock) -> None:
        def unmatched(number: int) -> Issue:
            ref = Ref(RecordKind.STUDENT, str(number))
            return Issue(ref=ref, code=IssueCode.UNMATCHED, detail="no account", joining_value=f"=s{number}", count=3)

        taken = Issue(ref=SECTION, code=IssueCode.ALIAS_TAKEN, detail="held by a group")
        note = Issue(ref=TEACHER, code=IssueCode.ON_PREMISES, detail="mastered on premises", severity=Severity.NOTE)
        store.issues.record("pilot", 1, [unmatched(1), taken])
        clock.advance(timedelta(hours=1))
        store.issues.record("pilot", 2, [taken, note, *(unmatched(number) for number in range(2, 7))])

    def test_list_by_cause_the_most_frequent_first(self, program: Program) -> None:
        pilot, later = of_json(program("issues", "list", "--json"))["profiles"]
        assert later == {"profile": "later", "causes": []}
        assert [(cause["code"], cause["count"], cause["rows"]) for cause in pilot["causes"]] == [
            ("UnmatchedEntry", 5, 15),
            ("GroupAliasTaken", 1, 1),
            ("OnPremisesMastered", 1, 1),
        ]
        assert all(cause["remedy"] for cause in pilot["causes"])
        assert pilot["causes"][1]["first_seen"] == "2026-09-01T06:00:00Z"
        assert pilot["causes"][1]["last_seen"] == "2026-09-01T07:00:00Z"

    def test_list_for_people(self, program: Program) -> None:
        out = program("issues", "list", "pilot").out
        assert out.startswith("pilot: 6 issues\n")
        assert "5  UnmatchedEntry — create the account" in out
        assert "… and 2 more (--all lists them)" in out
        assert "(note)" in out
        assert "student 6" in program("issues", "list", "pilot", "--all").out
        assert "later" not in out

    def test_one_code(self, program: Program) -> None:
        (pilot,) = of_json(program("issues", "list", "pilot", "--code", "groupaliastaken", "--json"))["profiles"]
        assert [cause["code"] for cause in pilot["causes"]] == ["GroupAliasTaken"]

    def test_export_has_the_columns_of_school_data_sync(self, program: Program) -> None:
        rows = list(csv.reader(io.StringIO(program("issues", "export").out)))
        columns = "entryType,errorCode,errorMessage,joiningValue,recordedDateTime,reportableIdentifier,id"
        assert ",".join(rows[0]) == columns
        assert len(rows) == 7
        section = next(row for row in rows if row[0] == "Section")
        assert section[1:6] == ["GroupAliasTaken", "held by a group", "", "2026-09-01T06:00:00Z", "9001"]
        student = next(row for row in rows if row[0] == "Student")
        assert student[3] == "'=s2"
        assert len({row[6] for row in rows[1:]}) == 6

    def test_ids_stay_while_the_issue_does(self, program: Program, store: Store) -> None:
        def ids() -> dict[str, str]:
            exported = of_json(program("issues", "export", "--json"))["issues"]
            return {row["entryType"]: row["id"] for row in exported}

        before = ids()
        store.issues.record("pilot", 3, [Issue(ref=SECTION, code=IssueCode.ALIAS_TAKEN, detail="still held")])
        assert ids() == {"Section": before["Section"]}

    def test_notes_on_request(self, program: Program) -> None:
        assert len(of_json(program("issues", "export", "--notes", "--json"))["issues"]) == 7

    def test_into_a_private_file(self, program: Program, tmp_path: Path) -> None:
        out = tmp_path / "issues.csv"
        ended = program("issues", "export", "-o", str(out))
        assert (ended.code, ended.out) == (0, "")
        assert out.stat().st_mode & 0o777 == 0o600
        assert out.read_bytes().count(b"\r\n") == 7
        out.write_text("longer than the list by far " * 1000)
        out.chmod(0o644)
        for what in ("issues", "drift"):
            assert program(what, "export", "-o", str(out)).code == 0
            assert out.stat().st_mode & 0o777 == 0o600, "of a file that was there already as well"
            assert b"by far" not in out.read_bytes()
        assert program("issues", "export", "-o", str(tmp_path / "none" / "x.csv")).code == 2

    def test_unknown_profile(self, program: Program) -> None:
        assert program("issues", "list", "nobody").code == 2
        assert program("issues", "export", "nobody").code == 2


class TestLinks:
    @pytest.fixture(autouse=True)
    def _links(self, store: Store, clock: FixedClock) -> None:
        end_run(store, clock, "success")
        links = store.links(SOURCE, TENANT)
        made: dict[str, Any] = {"profile": "pilot", "linked_at": clock.now()}
        links.put(
            [
                Link(ref=STUDENT, object_id="u-1", created=True, rule="created", written={"grade": "07"}, **made),
                Link(ref=TEACHER, object_id="u-2", created=False, rule="username = mail", **made),
                Link(ref=SECTION, object_id="g-1", created=True, rule="created", **made),
            ]
        )
        store.memberships(SOURCE, TENANT).add([Membership(SECTION, STUDENT, Role.MEMBER)], 1)
        store.directory(TENANT).put_users([DirectoryUser(id="u-1", upn="Zoe@contoso.edu")])

    @pytest.mark.parametrize("person", ["u-1", "U-1", "zoe@CONTOSO.edu"])
    def test_show_by_object_id_and_name(self, program: Program, person: str) -> None:
        (link,) = of_json(program("links", "show", person, "--json"))["links"]
        assert (link["kind"], link["sis_id"], link["object_id"]) == ("student", "101", "u-1")
        assert (link["user_principal_name"], link["created"], link["written"]) == (
            "Zoe@contoso.edu",
            True,
            {"grade": "07"},
        )
        assert link["memberships"] == [{"container": {"kind": "section", "sis_id": "9001"}, "role": "member"}]
        out = program("links", "show", person).out
        assert "student 101 is u-1 (Zoe@contoso.edu)" in out
        assert "member of section 9001" in out

    def test_one_sis_id_may_be_two_people(self, program: Program) -> None:
        found = of_json(program("links", "show", "101", "--json"))["links"]
        assert [link["kind"] for link in found] == ["student", "teacher"]
        (one,) = of_json(program("links", "show", "101", "--kind", "teacher", "--json"))["links"]
        assert one["rule"] == "username = mail"

    def test_drop(self, program: Program, store: Store) -> None:
        ended = program("links", "drop", "101", "--yes")
        assert (ended.code, "student 101, teacher 101" in ended.err) == (2, True)
        assert program("links", "drop", "101", "--kind", "student", "--yes").code == 0
        links = store.links(SOURCE, TENANT)
        assert (links.get(STUDENT), links.get(TEACHER) is not None) == (None, True)
        assert store.memberships(SOURCE, TENANT).of(SECTION) == frozenset()
        assert program("links", "drop", "u-1", "--yes").code == 2

    def test_drop_without_a_yes_changes_nothing(
        self, program: Program, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sys.stdin", io.StringIO(""))
        assert program("links", "drop", "u-1").code == 130
        assert store.links(SOURCE, TENANT).get(STUDENT) is not None

    def test_drop_keeps_out_of_a_running_cycle(self, program: Program, store: Store) -> None:
        with store.lease("pilot"):
            ended = program("links", "drop", "u-1", "--yes")
        assert (ended.code, "is being worked on" in ended.err) == (3, True)
        assert store.links(SOURCE, TENANT).get(STUDENT) is not None
