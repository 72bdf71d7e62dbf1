"""The daemon on a real loop with real signals, its cycles pretended."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from daemon_rig import Daemon, Systemd, for_ever, serving, settings, until, until_stopped
from loguru import logger

from sds_daemon.clock import FixedClock
from sds_daemon.config.settings import Profile
from sds_daemon.daemon.schedule import Schedule
from sds_daemon.daemon.service import Service, Stop
from sds_daemon.errors import ConfigurationError, Interrupted, SourceUnreachable
from sds_daemon.store import Store


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged: level and message."""
    heard: list[str] = []
    number = logger.add(lambda message: heard.append(str(message).rstrip("\n")), format="{level} {message}")
    yield heard
    logger.remove(number)


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listener = Systemd(tmp_path / "notify")
    yield listener
    listener.close()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


async def test_cycles_follow_one_another(state: Path, store: Store, clock: FixedClock) -> None:
    daemon = Daemon(settings(state, "north", "south"), store, clock)
    async with serving(daemon):
        await until(lambda: daemon.begun.count("north") >= 5 and daemon.begun.count("south") >= 5)


async def test_a_cycle_begins_only_after_the_one_before_and_its_pause(
    state: Path, store: Store, clock: FixedClock
) -> None:
    daemon = Daemon(settings(state, "north", pause=1), store, clock)
    moments: list[tuple[float, float]] = []

    async def slow(_: Profile, __: Stop) -> None:
        began = time.monotonic()
        await asyncio.sleep(0.2)
        moments.append((began, time.monotonic()))

    daemon.behave["north"] = slow
    async with serving(daemon):
        await until(lambda: len(moments) == 2)
    pause = moments[1][0] - moments[0][1]
    assert 0.9 <= pause < 3


async def test_disabled_profiles_rest(state: Path, store: Store, clock: FixedClock) -> None:
    daemon = Daemon(settings(state, "north", enabled=False), store, clock)
    async with serving(daemon):
        await asyncio.sleep(0.1)
    assert daemon.begun == []


async def test_a_stop_lets_cycles_end_between_batches(
    state: Path, store: Store, clock: FixedClock, systemd: Systemd, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north", "south"), store, clock, notifier=systemd.notifier())
    daemon.behave["north"] = until_stopped
    daemon.behave["south"] = until_stopped
    async with serving(daemon) as task:
        await until(lambda: len(daemon.begun) == 2)
        send(signal.SIGTERM)
        await asyncio.wait_for(task, 20)
    assert sorted(daemon.ended) == ["north", "south"], "both ended, and none began anew"
    assert [message for message in systemd.heard() if not message.startswith("STATUS=")] == ["READY=1", "STOPPING=1"]
    assert lines[-1] == "INFO stopped"


async def test_interrupt_stops_too(state: Path, store: Store, clock: FixedClock) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)
    daemon.behave["north"] = until_stopped
    async with serving(daemon) as task:
        await until(lambda: daemon.begun == ["north"])
        send(signal.SIGINT)
        await asyncio.wait_for(task, 20)


async def test_a_cycle_that_ends_by_raising_interrupted_is_no_failure(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)

    async def stopped_while_reading(profile: Profile, stop: Stop) -> None:
        await until_stopped(profile, stop)
        raise Interrupted("asked to stop")

    daemon.behave["north"] = stopped_while_reading
    async with serving(daemon):
        await until(lambda: daemon.begun == ["north"])
    assert store.profiles.state("north").failures == 0
    assert not [line for line in lines if not line.startswith("INFO")]


async def test_what_does_not_end_in_time_is_cut_off(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock, drain=0.2)
    daemon.behave["north"] = for_ever
    async with serving(daemon):
        await until(lambda: daemon.begun == ["north"])
    assert daemon.ended == ["north"]
    assert any("cut off" in line and line.startswith("WARNING") for line in lines)


async def test_a_second_signal_does_not_wait(state: Path, store: Store, clock: FixedClock) -> None:
    daemon = Daemon(settings(state, "north"), store, clock, drain=3600)
    daemon.behave["north"] = for_ever
    async with serving(daemon) as task:
        await until(lambda: daemon.begun == ["north"])
        send(signal.SIGTERM)
        await asyncio.sleep(0.1)
        assert not task.done()
        send(signal.SIGTERM)
        await asyncio.wait_for(task, 20)


async def test_a_stop_before_the_first_cycle_begins_none(state: Path, store: Store, clock: FixedClock) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)
    async with serving(daemon):
        send(signal.SIGTERM)
    assert daemon.begun in ([], ["north"])
    assert daemon.begun == daemon.ended


async def test_a_failing_profile_pauses_longer_and_others_go_on(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north", "south"), store, clock)

    async def fail(_: Profile, __: Stop) -> None:
        raise SourceUnreachable("sis.example.org does not answer", remedy="look at the server")

    daemon.behave["north"] = fail
    async with serving(daemon):
        await until(lambda: daemon.begun.count("south") >= 5)
    assert daemon.begun.count("north") == 1
    kept = store.profiles.state("north")
    assert (kept.failures, kept.state) == (1, "failing")
    assert "sis.example.org does not answer" in kept.reason
    assert [line for line in lines if line.startswith("ERROR")] == [
        "ERROR the cycle could not begin or end: sis.example.org does not answer — look at the server"
    ]
    assert "WARNING 1 failures in a row (failing); next attempt in 60 s" in lines


async def test_a_failure_the_run_itself_recorded_is_not_counted_twice(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)

    async def fail(profile: Profile, _: Stop) -> None:
        store.profiles.failed(profile.name, "the server is down")
        raise SourceUnreachable("the server is down")

    daemon.behave["north"] = fail
    async with serving(daemon):
        await until(lambda: any("failures in a row" in line for line in lines))
    assert store.profiles.state("north").failures == 1
    assert not [line for line in lines if line.startswith("ERROR")]


async def test_a_failing_profile_is_tried_again_when_its_pause_is_over(
    state: Path, store: Store, clock: FixedClock
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)

    async def fail_in_the_past(profile: Profile, _: Stop) -> None:
        if len(daemon.begun) < 3:
            raise SourceUnreachable("no answer")

    async def later(profile: Profile, stop: Stop) -> None:
        try:
            await fail_in_the_past(profile, stop)
        except SourceUnreachable:
            store.profiles.failed(profile.name, "no answer")
            clock.advance(timedelta(minutes=5))
            raise
        store.profiles.succeeded(profile.name)

    daemon.behave["north"] = later
    async with serving(daemon):
        await until(lambda: len(daemon.begun) >= 4)
    assert store.profiles.state("north").state == "healthy"


async def test_a_defect_in_a_cycle_is_told_with_its_place_and_ends_nothing(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north", "south"), store, clock)

    async def break_down(_: Profile, __: Stop) -> None:
        raise ZeroDivisionError

    daemon.behave["north"] = break_down
    async with serving(daemon):
        await until(lambda: daemon.begun.count("south") >= 3 and store.profiles.state("north").failures == 1)
    (told,) = [line for line in lines if "met a defect" in line]
    assert "break_down" in told and "ZeroDivisionError" in told
    assert store.profiles.state("north").reason == "defect: ZeroDivisionError"


async def test_a_profile_worked_on_elsewhere_waits_and_is_no_failure(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)

    async def take_lease(profile: Profile, _: Stop) -> None:
        with store.lease(profile.name):
            pass

    daemon.behave["north"] = take_lease
    with store.lease("north"):
        async with serving(daemon):
            await until(lambda: daemon.ended == ["north"])
            await asyncio.sleep(0.1)
    assert daemon.begun == ["north"], "tried again later, not at once"
    assert store.profiles.state("north").failures == 0
    assert len([line for line in lines if "is being worked on by process" in line]) == 1
    assert not [line for line in lines if not line.startswith("INFO")]


async def test_the_service_goes_on_when_the_state_cannot_be_written(
    state: Path, store: Store, clock: FixedClock, monkeypatch: pytest.MonkeyPatch, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)

    async def fail(_: Profile, __: Stop) -> None:
        store.close()
        (state / "state.db").unlink()
        for companion in ("state.db-wal", "state.db-shm"):
            (state / companion).unlink(missing_ok=True)
        raise SourceUnreachable("no answer")

    daemon.behave["north"] = fail
    async with serving(daemon) as task:
        await until(lambda: any("state database" in line for line in lines))
        assert not task.done()


# --- SIGHUP --------------------------------------------------------------------------------------


async def test_a_reload_arms_adds_and_removes(state: Path, store: Store, clock: FixedClock, systemd: Systemd) -> None:
    daemon = Daemon(settings(state, "north", "south", pause=3600), store, clock, notifier=systemd.notifier())
    async with serving(daemon):
        await until(lambda: sorted(daemon.ended) == ["north", "south"])
        daemon.configuration = settings(state, "north", "west", pause=3600)
        send(signal.SIGHUP)
        await until(lambda: "west" in daemon.begun)
        assert daemon.applied == [daemon.configuration]
    assert daemon.begun.count("north") == 1, "an unchanged profile keeps its pause"
    told = [message for message in systemd.heard() if not message.startswith("STATUS=")]
    assert [message.splitlines()[0] for message in told] == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
    reloading = dict(line.split("=") for line in told[1].splitlines())
    assert abs(int(reloading["MONOTONIC_USEC"]) - time.monotonic_ns() // 1000) < 60_000_000


async def test_a_changed_profile_or_source_begins_anew_with_the_new_rules(
    state: Path, store: Store, clock: FixedClock
) -> None:
    daemon = Daemon(settings(state, "north", pause=3600), store, clock)
    async with serving(daemon):
        await until(lambda: daemon.ended == ["north"])
        daemon.configuration = settings(state, "north", pause=3600, url="https://new.example.org")
        send(signal.SIGHUP)
        await until(lambda: len(daemon.begun) == 2)
    assert daemon.seen[1] == ("north", "https://new.example.org")


async def test_a_profile_changed_while_it_runs_is_run_again_at_once(
    state: Path, store: Store, clock: FixedClock
) -> None:
    daemon = Daemon(settings(state, "north", pause=3600), store, clock)
    go_on = asyncio.Event()

    async def wait(_: Profile, __: Stop) -> None:
        await go_on.wait()

    daemon.behave["north"] = wait
    async with serving(daemon):
        await until(lambda: daemon.begun == ["north"])
        daemon.configuration = settings(state, "north", pause=1800)
        send(signal.SIGHUP)
        await until(lambda: bool(daemon.applied))
        assert daemon.begun == ["north"], "never twice at once"
        go_on.set()
        await until(lambda: len(daemon.begun) == 2)


@pytest.mark.parametrize("how", ["removed", "disabled"])
async def test_a_profile_taken_out_stops_between_batches(
    state: Path, store: Store, clock: FixedClock, how: str
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)
    daemon.behave["north"] = until_stopped
    async with serving(daemon) as task:
        await until(lambda: daemon.begun == ["north"])
        daemon.configuration = settings(state) if how == "removed" else settings(state, "north", enabled=False)
        send(signal.SIGHUP)
        await until(lambda: daemon.ended == ["north"])
        await asyncio.sleep(0.1)
        assert daemon.begun == ["north"]
        assert not task.done()
        daemon.configuration = settings(state, "north")
        send(signal.SIGHUP)
        await until(lambda: len(daemon.begun) == 2)


async def test_a_bad_configuration_is_refused_in_one_line(
    state: Path, store: Store, clock: FixedClock, systemd: Systemd, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north", pause=0), store, clock, notifier=systemd.notifier())
    async with serving(daemon):
        daemon.configuration = ConfigurationError("config.toml:\n  [profiles.north] users: unknown\n  pause: negative")
        send(signal.SIGHUP)
        await until(lambda: any("refused" in line for line in lines))
        done = len(daemon.begun)
        await until(lambda: len(daemon.begun) > done)
    refused = [line for line in lines if line.startswith("ERROR")]
    assert refused == [
        "ERROR the new configuration is refused, the old one goes on: "
        "config.toml:; [profiles.north] users: unknown; pause: negative"
    ]
    assert daemon.applied == []
    told = [message for message in systemd.heard() if not message.startswith("STATUS=")]
    assert told[2] == "READY=1", "a refused reload ends too"


async def test_a_reload_that_breaks_down_leaves_the_old_configuration(
    state: Path, store: Store, clock: FixedClock, lines: list[str]
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock)
    async with serving(daemon) as task:
        daemon.configuration = ZeroDivisionError()
        send(signal.SIGHUP)
        await until(lambda: any("could not be read" in line for line in lines))
        assert not task.done()


async def test_another_state_folder_waits_for_a_restart(
    state: Path, store: Store, clock: FixedClock, tmp_path: Path, lines: list[str]
) -> None:
    daemon = Daemon(settings(state), store, clock)
    async with serving(daemon):
        daemon.configuration = settings(tmp_path / "elsewhere")
        send(signal.SIGHUP)
        await until(lambda: any("take effect after a restart" in line for line in lines))


# --- systemd -------------------------------------------------------------------------------------


async def test_signs_of_life_come_twice_as_often_as_asked(
    state: Path, store: Store, clock: FixedClock, systemd: Systemd
) -> None:
    daemon = Daemon(settings(state), store, clock, notifier=systemd.notifier(watchdog=0.2))
    async with serving(daemon):
        began = time.monotonic()
        await until(lambda: systemd.heard().count("WATCHDOG=1") >= 4)
        assert time.monotonic() - began >= 0.25


async def test_a_loop_that_hangs_falls_silent(state: Path, store: Store, clock: FixedClock, systemd: Systemd) -> None:
    daemon = Daemon(settings(state, "north"), store, clock, notifier=systemd.notifier(watchdog=0.1))
    hung = threading.Event()
    counted: list[int] = []

    async def hang(_: Profile, __: Stop) -> None:
        if not hung.is_set():
            hung.set()
            before = systemd.heard().count("WATCHDOG=1")
            threading.Event().wait(0.5)
            counted.append(systemd.heard().count("WATCHDOG=1") - before)

    daemon.behave["north"] = hang
    async with serving(daemon):
        await until(lambda: bool(counted))
    assert counted == [0]


async def test_signs_of_life_go_on_while_cycles_are_drained(
    state: Path, store: Store, clock: FixedClock, systemd: Systemd
) -> None:
    daemon = Daemon(settings(state, "north"), store, clock, notifier=systemd.notifier(watchdog=0.1))
    end = asyncio.Event()

    async def wait(_: Profile, __: Stop) -> None:
        await end.wait()

    daemon.behave["north"] = wait
    async with serving(daemon):
        await until(lambda: daemon.begun == ["north"])
        send(signal.SIGTERM)
        await until(lambda: "STOPPING=1" in systemd.heard())
        before = systemd.heard().count("WATCHDOG=1")
        await until(lambda: systemd.heard().count("WATCHDOG=1") > before + 2)
        end.set()


async def test_the_status_line_names_what_runs_and_what_comes_next(
    state: Path, store: Store, clock: FixedClock, systemd: Systemd
) -> None:
    daemon = Daemon(settings(state, "north", "south", pause=3600), store, clock, notifier=systemd.notifier())
    daemon.behave["north"] = until_stopped
    async with serving(daemon):
        await until(lambda: any("running: north; next: south at " in message for message in systemd.heard()))
    assert any(message.startswith("STATUS=2 profiles enabled; stopping") for message in systemd.heard())


# --- the clock jobs ------------------------------------------------------------------------------


async def test_cleaning_up_removes_old_runs_and_a_failing_reconciliation_is_told(
    state: Path, store: Store, clock: FixedClock, lines: list[str], systemd: Systemd
) -> None:
    for _ in range(3):
        store.runs.finish(store.runs.begin("north"), "success", {})
    clock.advance(timedelta(days=91))

    async def reconcile(_: object, __: Stop) -> None:
        raise ZeroDivisionError

    async def never(*_: object) -> None:
        raise AssertionError

    service = Service(settings(state), never, store, clock, systemd.notifier(), reconcile)  # type: ignore[arg-type]
    await service._clean_up()
    assert len(store.runs.list()) == 1
    assert "INFO removed 2 old runs and 0 resolved issues" in lines
    await service._reconcile()
    assert any(line.startswith("ERROR the nightly reconciliation met a defect") for line in lines)


async def test_a_clock_set_back_does_not_lengthen_a_pause() -> None:
    schedule = Schedule(default_pause=60)
    begun: list[str] = []

    async def cycle(name: str) -> float:
        begun.append(name)
        return 0.3 if len(begun) == 1 else 3600

    schedule.add("north", cycle)
    schedule.start()
    await until(lambda: len(begun) == 1)
    await asyncio.sleep(0.05)
    put_off = datetime.now(UTC) + timedelta(hours=1)  # what an hour back looks like to the scheduler
    schedule._scheduler.modify_job("cycle:north", next_run_time=put_off)
    schedule.heed_clock()
    await until(lambda: len(begun) == 2)
    await asyncio.sleep(0.05)
    planned = schedule.next_runs()["north"]
    schedule.heed_clock()
    assert schedule.next_runs()["north"] == planned, "an undisturbed pause is left alone"
    schedule.shutdown()
    await asyncio.sleep(0)


async def test_a_cycle_that_runs_is_left_alone_by_looking_at_the_clock() -> None:
    schedule = Schedule(default_pause=60)
    begun: list[str] = []
    end = asyncio.Event()

    async def cycle(name: str) -> float:
        begun.append(name)
        if len(begun) == 2:
            await end.wait()
        return 0.0 if len(begun) == 1 else 3600.0

    schedule.add("north", cycle)
    schedule.start()
    await until(lambda: len(begun) == 2)
    schedule.heed_clock()
    assert schedule.next_runs()["north"] > datetime.now(UTC) + timedelta(days=365)
    end.set()
    await until(lambda: schedule.next_runs()["north"] < datetime.now(UTC) + timedelta(hours=2))
    assert len(begun) == 2
    schedule.shutdown()
    await asyncio.sleep(0)


async def test_clock_jobs_are_armed_for_the_night(state: Path, store: Store, clock: FixedClock) -> None:
    async def nightly(_: object, __: Stop) -> None: ...

    async def never(*_: object) -> None: ...

    service = Service(settings(state), never, store, clock, Systemd.notifier, nightly)  # type: ignore[arg-type]
    service._schedule.nightly("reconciliation", 3, 30, service._reconcile)
    service._schedule.start()
    (job,) = service._schedule._scheduler.get_jobs()
    local = job.next_run_time.astimezone()
    assert (local.hour, local.minute) == (3, 30)
    service._schedule.shutdown()
    await asyncio.sleep(0)
