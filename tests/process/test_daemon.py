"""The daemon as a process: cycle after cycle, signals, leases, failing sources, several profiles."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rig import PROFILE, Rig, wait_until

from process.crashes import BATCH, add_fault, struck
from process.service import Daemon, daemon, query, running
from process.town import flat, school, section, student, teacher

pytestmark = [pytest.mark.process, pytest.mark.timeout(300)]

DAY = "2026-10-14"
SLOW_READING = {"side": "powerschool", "path": r"\.students$", "kind": "delay", "seconds": 200, "times": 1}
"""A cycle that takes four seconds more."""


@contextmanager
def begin(folder: Path, *options: str) -> Iterator[Rig]:
    """A small district; cycles follow each other after a second."""
    rig = Rig(folder, "--students", "30", "--time-scale", "50", "--today", DAY, *options)
    rig.environment["SDS_DAEMON_CLOCK"] = f"{DAY}T16:00:00Z"
    with rig:
        rig.edit("profiles.district", pause=1)
        rig.change_school(*flat(school(801), teacher(9801, 801), student(8801, 801), section(7801, 801, 9801, 8801)))
        yield rig


def members(rig: Rig, number: int = 7801) -> set[str]:
    """SIS IDs of the students who are members of a section's class."""
    directory = rig.directory()
    group = directory.class_of(str(number))
    users = [directory.users[member] for member in group["members"]] if group else []
    return {user["education"]["student"]["externalId"] for user in users if user["education"].get("student")}


@pytest.fixture(scope="class")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A district."""
    with begin(tmp_path_factory.mktemp("cycles")) as rig:
        yield rig


@pytest.fixture(scope="class")
def service(rig: Rig) -> Iterator[Daemon]:
    """After its first sync."""
    with daemon(rig, watchdog=1) as service:
        service.wait_for("run 1 ended: success")
        yield service
        assert service.stop() == 0


class TestCycles:
    """One daemon; every test leaves it running and well."""

    def test_a_change_reaches_the_directory_in_the_next_cycle(self, rig: Rig, service: Daemon) -> None:
        rig.change_school(student(8802, 801, 7801), {"op": "drop", "student": 8801, "section": 7801})
        service.wait_for_cycles(1)
        assert members(rig) == {"8802"}
        rig.change_school({"op": "reenroll", "student": 8801, "section": 7801})
        service.wait_for_cycles(1)
        assert members(rig) == {"8801", "8802"}

    def test_cycles_without_a_change_write_nothing(self, rig: Rig, service: Daemon) -> None:
        service.wait_for_cycles(1)
        mark = rig.request_mark()
        service.wait_for_cycles(2)
        assert rig.writes_since(mark) == []
        assert query(rig, "SELECT status FROM run ORDER BY id DESC LIMIT 1 OFFSET 1") == [("nothing_to_do",)]

    def test_systemd_hears_how_it_fares(self, service: Daemon) -> None:
        service.wait_for_cycles(2)
        heard = service.systemd.heard
        assert heard.count("WATCHDOG=1") > 2
        states = [line for line in heard if line.startswith("STATUS=")]
        assert any("running: district" in line for line in states)
        assert any(re.search(r"next: district at \d\d:\d\d:\d\d", line) for line in states)

    def test_a_bad_configuration_is_refused_and_the_old_one_goes_on(self, rig: Rig, service: Daemon) -> None:
        good = rig.config.read_text()
        rig.config.write_text(good.replace('policy = "sds"', 'policy = "mirorr"'))
        service.reload()
        try:
            service.wait_for("the new configuration is refused, the old one goes on.*policy.*action=reload")
        finally:
            rig.config.write_text(good)
        service.wait_for_cycles(1)
        assert "Traceback" not in service.log

    def test_a_good_configuration_is_taken_up(self, rig: Rig, service: Daemon) -> None:
        rig.edit("profiles.district", policy="add-only")
        service.reload()
        service.wait_for("configuration read anew; 1 profiles enabled")
        rig.change_school({"op": "add_student", "id": 8803, "school": 801, "first_name": "A", "last_name": "B"})
        rig.change_school({"op": "enroll", "student": 8803, "section": 7801})
        service.wait_for_cycles(1)
        rig.change_school({"op": "drop", "student": 8803, "section": 7801})
        service.wait_for_cycles(2)
        assert "8803" in members(rig), "the new policy removes nobody"
        rig.edit("profiles.district", policy="sds")
        before = service.log.count("configuration read anew")
        service.reload()
        service.wait_for("configuration read anew", before + 1)
        service.wait_for_cycles(1)
        assert "8803" not in members(rig)

    def test_a_sync_by_hand_is_kept_out_while_it_works(self, rig: Rig, service: Daemon) -> None:
        fault = add_fault(rig, {**SLOW_READING, "seconds": 400})
        wait_until(lambda: struck(rig, fault), 60)
        done = rig.run("sync", PROFILE).expect(3)
        rig.delete("faults")
        assert f"is being worked on by process {service.process.pid} on " in done.err
        assert "try again later" in done.err
        status = rig.run("status", "--json").expect(0).json["profiles"][0]
        assert status["enabled"] is True
        service.wait_for_cycles(1)


def test_maintenance_makes_it_wait_longer_and_ends_well(tmp_path: Path) -> None:
    with begin(tmp_path) as rig:
        rig.post("powerschool/settings", {"maintenance": True})
        with daemon(rig) as service:
            service.wait_for("1 failures in a row .failing.; next attempt in 60 s")
            profile = rig.run("status", "--json").expect(0).json["profiles"][0]
            assert (profile["status"], profile["failures"]) == ("error", 1)
            assert "maintenance" in profile["reason"].lower()
            assert profile["next"] > profile["last_run"]["finished"]
            assert rig.writes_since(0) == []
            rig.post("powerschool/settings", {"maintenance": False})
            rig.edit("profiles.district", pause=2)  # a changed profile does not wait
            service.reload()
            service.wait_for("run 2 ended: success")
            assert service.stop() == 0
        profile = rig.run("status", "--json").expect(0).json["profiles"][0]
        assert (profile["status"], profile["failures"], profile["reason"]) == ("success", 0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_in_the_first_sync(number: signal.Signals, tmp_path: Path) -> None:
    """It ends between batches: what was sent is recorded, nothing more is sent, and the next sync does the rest."""
    with begin(tmp_path) as rig:
        fault = add_fault(rig, {**BATCH, "kind": "delay", "seconds": 75, "times": 1, "after": 2})
        with daemon(rig) as service:
            wait_until(lambda: struck(rig, fault), 60, 0.02)
            service.process.send_signal(number)
            assert service.process.wait(40) == 0
            assert "STOPPING=1" in service.systemd.heard
            assert "Traceback" not in service.log
        assert query(rig, "SELECT status FROM run") == [("interrupted",)]
        assert query(rig, "SELECT count(*) FROM run_change WHERE state = 'intended'") == [(0,)]
        assert query(rig, "SELECT count(*) FROM run_change WHERE state = 'deferred'") > [(0,)]
        assert query(rig, "SELECT count(*) FROM lease") == [(0,)]
        rig.sync()
        mark = rig.request_mark()
        assert rig.sync()["status"] == "nothing_to_do"
        assert rig.writes_since(mark) == []
        assert len(rig.directory().users) == 30 + 1 + 1 + 1


def test_the_lease_of_a_killed_daemon_is_taken_over(tmp_path: Path) -> None:
    with begin(tmp_path) as rig:
        fault = add_fault(rig, {**BATCH, "kind": "delay", "seconds": 3000, "times": 1})
        with daemon(rig) as service:
            wait_until(lambda: struck(rig, fault), 60, 0.02)
            assert running(rig)
            service.process.kill()
            service.process.wait(20)
        assert query(rig, "SELECT count(*) FROM lease") == [(1,)]
        assert rig.run("status", "--json").expect(0).json["profiles"][0]["status"] != "inProgress"
        rig.delete("faults")
        assert rig.sync()["status"] in ("success", "success_with_issues")


def two_profiles(rig: Rig, *, second: bool) -> None:
    """Two profiles with a school each."""
    schools = {str(row["name"]) for row in rig.district()["schools"]}
    assert "School 801" in schools
    rules: dict[str, Any] = {"source": "powerschool", "tenant": "contoso", "users": "create", "pause": 1}
    rig.edit("profiles.other", enabled=second, schools=["School 801"], **rules)
    for role in ("students", "teachers"):
        rig.edit(f"profiles.other.{role}", domain="contoso.edu", usage_location="US")
    rig.edit("profiles.district", schools=sorted(schools - {"School 801"} - {"District Office"})[:1])


def test_a_disabled_profile_is_left_alone(tmp_path: Path) -> None:
    with begin(tmp_path) as rig:
        two_profiles(rig, second=False)
        with daemon(rig) as service:
            service.wait_for_cycles(2)
            assert service.stop() == 0
        assert query(rig, "SELECT DISTINCT profile FROM run") == [("district",)]
        assert rig.directory().class_of("7801") is None


def test_profiles_of_one_tenant_share_its_quota(tmp_path: Path) -> None:
    """Two first syncs at once, under a quota that one of them alone would use up."""
    with begin(tmp_path, "--write-quota", "30", "--education-counted") as rig:
        two_profiles(rig, second=True)
        rig.change_school(*(student(number, 801, 7801) for number in range(8810, 8850)))
        with daemon(rig) as service:
            service.wait_for("profile=district .*action=run_end|run_end.*profile=district")
            service.wait_for("run_end.*profile=other|profile=other.*action=run_end")
            assert service.stop() == 0
        statistics = rig.get("entra/statistics")
        assert statistics["writes"] > 60
        assert statistics["refused_writes"] <= 0.02 * statistics["writes"]
        assert len(members(rig)) == 41
