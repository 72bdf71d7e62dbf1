"""The whole sandbox: in this process and as one of its own, on real sockets, with its CA."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from plugin_files import QUERY, files, plugin_xml, written

from sds_daemon.sandbox.options import SandboxOptions
from sds_daemon.sandbox.server import start

COMMAND = (sys.executable, "-c", "from sds_daemon.cli.sandbox import command; command()")
SAMPLES = Path(__file__).parents[3] / "shared/data/o365-edu-tools-sds-samples/SDS_Format/100_Users"


@contextlib.contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The sandbox as a process, and its ready line."""
    child = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stdout is not None
        line = child.stdout.readline()
        assert line, child.communicate()[1]
        yield child, json.loads(line)
    finally:
        if child.poll() is None:
            child.terminate()
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()


def trust(ready: dict[str, Any]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ready["ca_file"])


async def powerschool_token(http: httpx.AsyncClient, ready: dict[str, Any]) -> str:
    secret = Path(ready["directory"], "powerschool.secret").read_text()
    answer = await http.post(
        f"{ready['powerschool']}/oauth/access_token/",
        auth=(ready["powerschool_client_id"], secret),
        data={"grant_type": "client_credentials"},
    )
    return str(answer.json()["access_token"])


async def graph_token(http: httpx.AsyncClient, ready: dict[str, Any]) -> str:
    answer = await http.post(
        f"{ready['authority']}/{ready['tenant_id']}/oauth2/v2.0/token",
        data={
            "grant_type": "client_credentials",
            "client_id": ready["client_id"],
            "client_secret": Path(ready["directory"], "entra.secret").read_text(),
            "scope": f"{ready['graph']}/.default",
        },
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def test_both_servers_answer_over_tls_with_their_ca_only() -> None:
    async with start(SandboxOptions(students=30)) as sandbox, httpx.AsyncClient(verify=trust(sandbox.ready)) as http:
        ready = sandbox.ready
        bearer = {"authorization": f"Bearer {await powerschool_token(http, ready)}", "accept": "application/json"}
        over_tls = await http.get(f"{ready['powerschool']}/ws/v1/district", headers=bearer)
        plain = await http.get(f"{ready['powerschool_http']}/ws/v1/district", headers=bearer)
        assert over_tls.json() == plain.json()
        graph = {"authorization": f"Bearer {await graph_token(http, ready)}"}
        users = await http.get(f"{ready['graph']}/v1.0/users", headers=graph)
        assert users.status_code == 200 and users.json()["value"] == []
        async with httpx.AsyncClient() as stranger:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await stranger.get(f"{ready['powerschool']}/ws/v1/metadata")
        assert Path(ready["ca_file"]).is_file()
    assert not Path(ready["directory"]).exists()


async def test_graph_offers_http2_on_request() -> None:
    options = SandboxOptions(students=5, http2=True)
    async with start(options) as sandbox, httpx.AsyncClient(verify=trust(sandbox.ready), http2=True) as http:
        bearer = {"authorization": f"Bearer {await graph_token(http, sandbox.ready)}"}
        answer = await http.get(f"{sandbox.ready['graph']}/v1.0/organization", headers=bearer)
        assert (answer.status_code, answer.http_version) == (200, "HTTP/2")


async def test_match_starts_with_an_account_for_each_person() -> None:
    options = SandboxOptions(students=40, users="match", users_missing=2, users_ambiguous=1)
    async with start(options) as sandbox, httpx.AsyncClient(base_url=sandbox.ready["admin"]) as admin:
        district = (await admin.get("/_sandbox/powerschool/state")).json()
        users = (await admin.get("/_sandbox/entra/state")).json()["users"]
        names = {user["userPrincipalName"] for user in users}
        students = [row for row in district["students"] if row["enroll_status"] == 0]
        wanted = {f"{row['username']}@contoso.edu" for row in students}
        assert len(wanted - names) == 2
        assert sum(user.startswith("other.") for user in names) == 1
        nicknames = [user["mailNickname"] for user in users]
        assert len(nicknames) - len(set(nicknames)) == 1


async def test_administration_lists_itself_with_every_operation_and_its_arguments() -> None:
    async with (
        start(SandboxOptions(students=5)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.ready["admin"]) as admin,
    ):
        contents = (await admin.get("/_sandbox/")).json()
        assert (await admin.get("/_sandbox")).json() == (await admin.get("/")).json() == contents
        for side, some in (("powerschool", {"enroll", "hire"}), ("entra", {"create_user", "set_seats"})):
            told = contents[f"POST /_sandbox/{side}/change"]["operations"]
            assert some <= told.keys()
            assert all(told.values())
            refused = await admin.post(f"/_sandbox/{side}/change", json={"op": "nothing"})
            assert all(name in refused.json()["error"] for name in told)
        for entry in contents:
            methods, _, path = entry.partition(" /")
            if methods.startswith("GET"):
                answer = await admin.get("/" + path.replace("{powerschool|entra}", "entra"))
                assert answer.status_code == 200, entry


async def test_administration_shows_and_changes_both_sides() -> None:
    async with (
        start(SandboxOptions(students=30)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.ready["admin"]) as admin,
    ):
        assert (await admin.get("/_sandbox/health")).json() == {"ok": True}
        day = (await admin.get("/_sandbox/powerschool/school-day")).json()
        applied = await admin.post("/_sandbox/powerschool/change", json=day)
        assert [r["op"] for r in applied.json()["results"]] == [o["op"] for o in day["operations"]]
        refused = await admin.post("/_sandbox/powerschool/change", json={"op": "enroll"})
        assert refused.status_code == 400 and "student is missing" in refused.json()["error"]
        assert (await admin.post("/_sandbox/powerschool/change", content=b"{")).status_code == 400
        settings = await admin.post("/_sandbox/powerschool/settings", json={"page_sizes": {"student": 7}})
        assert settings.json()["page_sizes"]["student"] == 7 and settings.json()["page_sizes"]["staff"] == 100
        assert (await admin.get("/_sandbox/entra/settings")).status_code == 200
        assert (await admin.get("/_sandbox/nothing")).status_code == 404


async def test_administration_of_faults_log_and_clock() -> None:
    async with start(SandboxOptions(students=5)) as sandbox, httpx.AsyncClient(verify=trust(sandbox.ready)) as http:
        admin, ready = sandbox.ready["admin"], sandbox.ready
        spec = {"side": "powerschool", "kind": "status", "status": 500, "path": "metadata"}
        fault = (await http.post(f"{admin}/_sandbox/faults", json=spec)).json()["id"]
        assert (await http.get(f"{ready['powerschool']}/ws/v1/metadata")).status_code == 500
        assert (await http.get(f"{admin}/_sandbox/faults")).json()["faults"][0]["hits"] == 1
        assert (await http.delete(f"{admin}/_sandbox/faults/{fault}")).status_code == 200
        assert (await http.get(f"{ready['powerschool']}/ws/v1/metadata")).status_code == 200
        assert (await http.post(f"{admin}/_sandbox/faults", json={"side": "moon"})).status_code == 400
        log = (await http.get(f"{admin}/_sandbox/requests", params={"side": "powerschool"})).json()
        assert [(row["path"], row["status"]) for row in log["requests"]] == [
            ("/ws/v1/metadata", 500), ("/ws/v1/metadata", 200),
        ]  # fmt: skip
        await http.delete(f"{admin}/_sandbox/requests")
        assert (await http.get(f"{admin}/_sandbox/requests")).json()["requests"] == []
        clock = (await http.post(f"{admin}/_sandbox/clock", json={"scale": 50, "advance_seconds": 86400})).json()
        assert clock["scale"] == 50 and clock["now"] > "2026"
        assert (await http.post(f"{admin}/_sandbox/clock", json={"speed": 1})).status_code == 400


async def test_administration_tells_the_secrets_it_handed_out_and_nothing_else_does() -> None:
    async with (
        start(SandboxOptions(students=5)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.ready["admin"]) as admin,
        httpx.AsyncClient(verify=trust(sandbox.ready)) as http,
    ):
        ready = sandbox.ready
        issued = {"powerschool": await powerschool_token(http, ready), "entra": await graph_token(http, ready)}
        for side, token in issued.items():
            told = (await admin.get(f"/_sandbox/{side}/secrets")).json()
            assert told["tokens"] == [token]
            assert told["secrets"] == [Path(ready["directory"], f"{side}.secret").read_text()]
            log = (await admin.get("/_sandbox/requests")).text
            assert token not in log and told["secrets"][0] not in log
            assert (await admin.post(f"/_sandbox/{side}/secrets")).status_code in (404, 405)


async def test_administration_lets_the_servers_crash_and_come_back_with_what_they_knew() -> None:
    async with (
        start(SandboxOptions(students=5)) as sandbox,
        httpx.AsyncClient(base_url=sandbox.ready["admin"]) as admin,
        httpx.AsyncClient(verify=trust(sandbox.ready)) as http,
    ):
        ready = sandbox.ready
        bearer = {"authorization": f"Bearer {await graph_token(http, ready)}"}
        made = {"op": "create_user", "userPrincipalName": "ada@contoso.edu"}
        assert (await admin.post("/_sandbox/entra/change", json=made)).status_code == 200
        for _ in range(2):
            assert (await admin.post("/_sandbox/servers", json={"up": False})).json() == {"up": False}
            for url in (ready["powerschool"], ready["authority"], ready["graph"]):
                with pytest.raises(httpx.TransportError):
                    await http.get(url)
        for _ in range(2):
            assert (await admin.post("/_sandbox/servers", json={"up": True})).json() == {"up": True}
        users = (await http.get(f"{ready['graph']}/v1.0/users", headers=bearer)).json()["value"]
        assert [user["userPrincipalName"] for user in users] == ["ada@contoso.edu"]
        for wrong in ({}, {"down": True}, [True], {"up": False, "why": "x"}):
            assert (await admin.post("/_sandbox/servers", json=wrong)).status_code == 400


async def test_a_fast_clock_does_not_move_the_school_calendar() -> None:
    import datetime as dt

    options = SandboxOptions(students=5, time_scale=1_000_000, today=dt.date(2027, 2, 3))
    async with start(options) as sandbox:
        await asyncio.sleep(0.3)
        assert sandbox.clock.now().date() > dt.date(2027, 2, 4)
        assert sandbox.powerschool.calendar.today() == dt.date(2027, 2, 3)
        sandbox.clock.advance(2 * 86400)
        assert sandbox.powerschool.calendar.today() == dt.date(2027, 2, 5)


@pytest.mark.parametrize(
    ("district", "message"), [("csv:/nowhere", "not a folder"), ("xml:/tmp", "csv:DIR"), ("csv:", "csv:DIR")]
)
async def test_impossible_districts_are_refused(district: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        async with start(SandboxOptions(district=district)):
            pass


@pytest.mark.process
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_process_stops_at_once_and_leaves_nothing(number: signal.Signals) -> None:
    with process("--students", "20") as (child, ready):
        assert ready["pid"] == child.pid and ready["config"] is None
        folder = Path(ready["directory"])
        address = urlsplit(ready["powerschool_http"])
        # An open, idle connection must not keep it.
        with socket.create_connection((address.hostname or "", address.port or 0)):
            began = time.monotonic()
            child.send_signal(number)
            assert child.wait(10) == 0
            assert time.monotonic() - began < 2
        assert child.communicate() == ("", "")
        assert not folder.exists()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address.hostname or "", address.port or 0))


@pytest.mark.process
def test_it_ends_with_its_parent_when_asked() -> None:
    arguments = [*COMMAND, "--students", "5", "--watch-parent"]
    script = f"import subprocess, time; subprocess.Popen({arguments!r}); time.sleep(60)"
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    ready = json.loads(parent.stdout.readline())
    parent.kill()
    parent.wait(5)
    # The pipe ends when the last process that holds it is gone.
    assert parent.communicate(timeout=5) == ("", None)
    assert not Path(ready["directory"]).exists()


@pytest.mark.process
def test_a_request_under_way_does_not_keep_the_process() -> None:
    with process("--students", "20", "--powerschool", "latency=60") as (child, ready):
        address = urlsplit(ready["powerschool_http"])
        with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
            connection.sendall(b"GET /ws/v1/metadata HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.2)
            began = time.monotonic()
            child.terminate()
            assert child.wait(10) == 0
            assert time.monotonic() - began < 2.5


@pytest.mark.process
def test_config_out_tells_the_quota_however_it_was_set(tmp_path: Path) -> None:
    target = tmp_path / "config.toml"
    quota = ("--write-quota", "900", "--entra", "write_quota=600", "--entra", "write_period=60")
    with process("--students", "5", "--time-scale", "4", "--config-out", str(target), *quota):
        tenant = tomllib.loads(target.read_text())["tenants"]["contoso"]
        assert (tenant["write_quota"], tenant["write_period"]) == (600, 15)


@pytest.mark.process
@pytest.mark.parametrize("users", ["create", "match"])
def test_config_out_fits_the_sandbox_and_scales_with_time(tmp_path: Path, users: str) -> None:
    target = tmp_path / "deep" / "config.toml"
    with process("--students", "20", "--time-scale", "4", "--users", users, "--config-out", str(target)) as (_, ready):
        config = tomllib.loads(target.read_text())
        source, tenant = config["sources"]["powerschool"], config["tenants"]["contoso"]
        assert source["url"] == ready["powerschool"] and source["client_id"] == ready["powerschool_client_id"]
        assert (tenant["authority"], tenant["graph_url"]) == (ready["authority"], ready["graph"])
        assert (tenant["write_quota"], tenant["write_period"], tenant["lag_horizon"]) == (3000, 37.5, 225)
        profile = config["profiles"]["district"]
        assert (profile["users"], profile["schools"], profile["enabled"]) == (users, "all", True)
        expected = (
            {"domain", "usage_location"} if users == "create" else {"source_property", "suffix", "target_property"}
        )
        assert set(profile["students"]) == set(profile["teachers"]) == expected
        for reference in (source["client_secret"], tenant["client_secret"]):
            path = Path(reference.removeprefix("file:"))
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert path.read_text() not in target.read_text() + json.dumps(ready)
        assert Path(config["daemon"]["state_dir"]).is_dir()


@pytest.mark.process
def test_mistakes_are_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "School.csv").write_text("SIS ID,Name\n")
    done = subprocess.run([*COMMAND, "--district", f"csv:{tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "Section.csv" in done.stderr
    wrong = subprocess.run([*COMMAND, "--powerschool", "colour=red"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr


@pytest.mark.process
@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the SDS V1 sample folder is not here")
def test_the_published_sample_district() -> None:
    with process("--district", f"csv:{SAMPLES}") as (_, ready):
        tables = httpx.get(f"{ready['admin']}/_sandbox/powerschool/state", timeout=30).json()
    sizes = {name: len(rows) for name, rows in tables.items() if isinstance(rows, list)}
    assert (sizes["schools"], sizes["sections"], sizes["students"], sizes["users"]) == (2, 28, 86, 12)
    assert (sizes["enrollments"], sizes["section_teachers"]) == (602, 28)
    assert len({row["section"] for row in tables["enrollments"]}) == 21
    assert {row["username"] for row in tables["students"]} >= {"OKlein", "BMcMillan"}


async def test_the_plugin_can_be_chosen_and_a_faulty_one_stops_the_start(tmp_path: Path) -> None:
    own = written(tmp_path / "own", files())
    async with start(SandboxOptions(students=5, plugin=own)) as sandbox:
        assert list(sandbox.powerschool.schema.installed.queries) == [QUERY]
    async with start(SandboxOptions(students=5)) as sandbox:
        assert sandbox.powerschool.schema.installed.package.name == "sds-daemon"
    faulty = written(tmp_path / "faulty", files(plugin=plugin_xml(("students.email",))))
    with pytest.raises(ValueError, match=r"students\.email does not exist"):
        async with start(SandboxOptions(students=5, plugin=faulty)):
            pass
