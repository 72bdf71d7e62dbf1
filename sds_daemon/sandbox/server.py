"""The sandbox in one process: a PowerSchool, a token authority, a Graph and their administration on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import importlib.util
import os
import random
import secrets
import shutil
import signal
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import trustme

from sds_daemon.sandbox.admin import Administration, Side
from sds_daemon.sandbox.clock import SandboxClock
from sds_daemon.sandbox.district import csv_v1, generate
from sds_daemon.sandbox.district.model import District
from sds_daemon.sandbox.entra import EntraOptions, EntraSandbox
from sds_daemon.sandbox.entra.skus import Sku, sku
from sds_daemon.sandbox.faults import FaultPlan
from sds_daemon.sandbox.files import Files, configuration, write_private
from sds_daemon.sandbox.journal import Journal
from sds_daemon.sandbox.options import SandboxOptions
from sds_daemon.sandbox.people import directory_users
from sds_daemon.sandbox.powerschool.app import PowerSchoolSandbox
from sds_daemon.sandbox.powerschool.package import default_folder
from sds_daemon.sandbox.powerschool.settings import PowerSchoolOptions
from sds_daemon.sandbox.serving import Servers
from sds_daemon.sandbox.sis_calendar import Calendar

_NAMES_IN_CERTIFICATE = ("127.0.0.1", "localhost", "::1")


@dataclass
class RunningSandbox:
    """A sandbox that answers requests. `ready` is the ready line as a mapping: URLs, ids and paths, no secrets."""

    ready: dict[str, Any]
    files: Files
    powerschool: PowerSchoolSandbox
    entra: EntraSandbox
    clock: SandboxClock
    faults: FaultPlan
    journal: Journal


@contextlib.asynccontextmanager
async def start(options: SandboxOptions | None = None) -> AsyncIterator[RunningSandbox]:
    """Runs a sandbox in the current event loop until the block ends.

    Raises ValueError for an impossible district, option or plugin, OSError if the ports of `port_base` are taken.
    """
    options = options or SandboxOptions()
    if options.http2 and importlib.util.find_spec("hypercorn") is None:
        raise ValueError("HTTP/2 needs the package hypercorn, which is not installed")
    clock, faults = _clock(options), FaultPlan(options.seed)
    journal = Journal(clock, options.log_limit)
    district = make_district(options, clock)
    with _folder(options) as folder:
        files = Files(folder)
        powerschool = _powerschool(district, options, clock, faults, journal)
        entra = _entra(district, options, clock, faults, journal)
        _write_files(files, powerschool, entra)
        servers = Servers(files.server, options.port_base)
        sides: dict[str, Side] = {"powerschool": powerschool, "entra": entra}
        administration = Administration(sides, clock, faults, journal, servers)
        try:
            ready = _bind(servers, powerschool, entra, administration, options)
            ready |= {"ca_file": str(files.ca), "directory": str(folder), "pid": os.getpid()}
            if options.config_out is not None:
                write_private(options.config_out, configuration(files, ready, options, entra.options))
            await servers.start()
            yield RunningSandbox(ready, files, powerschool, entra, clock, faults, journal)
        finally:
            powerschool.schema.stop()
            await servers.stop()


def run(options: SandboxOptions, announce: Callable[[str], None]) -> None:
    """Runs a sandbox until SIGTERM or SIGINT; `announce` gets the ready line (one JSON object) once."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_stopped(options, announce))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _until_stopped(options: SandboxOptions, announce: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    watch = asyncio.ensure_future(_until_orphaned(os.getppid(), stopped)) if options.watch_parent else None
    async with start(options) as sandbox:
        # The district stays for good; without this every full collection would walk through all of it.
        gc.freeze()
        announce(msgspec.json.encode(sandbox.ready).decode())
        await stopped.wait()
    if watch is not None:
        watch.cancel()


async def _until_orphaned(parent: int, stopped: asyncio.Event) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing announces the end of a parent
        await asyncio.sleep(0.5)
    stopped.set()


def make_district(options: SandboxOptions, clock: SandboxClock) -> District:
    """The district the options name, of the day the clock shows. Raises ValueError (CsvError for a bad folder)."""
    today = options.today or Calendar(clock, "America/Los_Angeles").today()
    if options.district is None:
        return generate.generate(students=options.students, seed=options.seed, today=today, domain=options.domain)
    kind, _, folder = options.district.partition(":")
    if kind != "csv" or not folder:
        raise ValueError(f"the district must be csv:DIR, not {options.district!r}")
    return csv_v1.load(Path(folder), today, options.domain)


def _clock(options: SandboxOptions) -> SandboxClock:
    # 18:00 UTC is the same date in every American time zone.
    noon = None if options.today is None else dt.datetime.combine(options.today, dt.time(18), dt.UTC)
    return SandboxClock(options.time_scale, noon)


@contextlib.contextmanager
def _folder(options: SandboxOptions) -> Any:
    if options.config_out is not None:
        options.config_out.parent.mkdir(parents=True, exist_ok=True)
        yield options.config_out.parent.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="sds-sandbox-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _powerschool(
    district: District, options: SandboxOptions, clock: SandboxClock, faults: FaultPlan, journal: Journal
) -> PowerSchoolSandbox:
    client_id = str(uuid.UUID(int=random.Random(f"plugin {options.seed}").getrandbits(128), version=4))
    plugin = options.plugin or default_folder()
    chosen = PowerSchoolOptions(client_id, str(uuid.uuid4()), dict(options.powerschool), plugin)
    return PowerSchoolSandbox(district, chosen, clock, faults, journal)


def _entra(
    district: District, options: SandboxOptions, clock: SandboxClock, faults: FaultPlan, journal: Journal
) -> EntraSandbox:
    users = []
    if options.users == "match":
        users = list(directory_users(district, missing=options.users_missing, ambiguous=options.users_ambiguous))
    chosen = EntraOptions(
        client_secret=secrets.token_urlsafe(24), users=users, seed=options.seed, education=options.education,
        domains=[options.domain, "contoso.onmicrosoft.com"], cost_model=options.cost_model, skus=_licences(district),
        education_counted=options.education_counted, write_quota=options.write_quota,
    )  # fmt: skip
    if options.lag is not None:
        chosen.lag_seconds = options.lag
    chosen.change(options.entra)
    return EntraSandbox(chosen, clock, faults, journal)


def _licences(district: District) -> list[Sku]:
    seats = max(100_000, 2 * len(district.students))
    return [sku("STANDARDWOFFPACK_STUDENT", seats), sku("STANDARDWOFFPACK_FACULTY", seats)]


def _write_files(files: Files, powerschool: PowerSchoolSandbox, entra: EntraSandbox) -> None:
    authority = trustme.CA(organization_name="sds-daemon sandbox")
    leaf = authority.issue_cert(*_NAMES_IN_CERTIFICATE)
    authority.cert_pem.write_to_path(str(files.ca))
    write_private(files.server, leaf.private_key_and_cert_chain_pem.bytes().decode())
    write_private(files.powerschool_secret, powerschool.tokens.client_secret)
    write_private(files.entra_secret, entra.options.client_secret)
    files.state.mkdir(mode=0o700, exist_ok=True)


def _bind(
    servers: Servers, powerschool: PowerSchoolSandbox, entra: EntraSandbox, administration: Administration,
    options: SandboxOptions,
) -> dict[str, Any]:  # fmt: skip
    ready: dict[str, Any] = {
        "powerschool": servers.add(powerschool.app, tls=True),
        "powerschool_http": servers.add(powerschool.app, tls=False),
        "authority": servers.add(entra.authority_app, tls=True),
        "graph": servers.add(entra.graph_app, tls=True, http2=options.http2),
        "admin": servers.add(administration.app, tls=False),
        "tenant_id": entra.options.tenant_id,
        "client_id": entra.options.client_id,
        "powerschool_client_id": powerschool.tokens.client_id,
        "config": None if options.config_out is None else str(options.config_out.resolve()),
    }
    entra.set_urls(graph=ready["graph"], authority=ready["authority"])
    return ready
