"""`sds-daemon sandbox`: a PowerSchool and an Entra tenant on loopback, to try things on."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

import click


@click.command("sandbox")
@click.option("--students", type=click.IntRange(1), default=1000, show_default=True, help="Size of the district.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed makes another district.")
@click.option("--district", metavar="csv:DIR", help="Take the district from a folder of SDS V1 CSV files.")
@click.option("--today", type=click.DateTime(["%Y-%m-%d"]), help="The day both servers live in (default: today).")
@click.option("--time-scale", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              help="How much faster than real time the tenant's quotas and lag run.")  # fmt: skip
@click.option("--config-out", type=click.Path(path_type=Path, dir_okay=False),
              help="Write a ready configuration here, CA and secrets beside it.")  # fmt: skip
@click.option("--users", type=click.Choice(["create", "match"]), default="create", show_default=True,
              help="Start with an empty directory, or with an account for each person.")  # fmt: skip
@click.option("--users-missing", type=click.IntRange(0), default=0, help="People without an account (with match).")
@click.option("--users-ambiguous", type=click.IntRange(0), default=0, help="People with a namesake (with match).")
@click.option("--education/--no-education", default=True, help="Whether the tenant is an education tenant.")
@click.option("--education-counted/--no-education-counted", default=False,
              help="Whether calls below /education count against the write quota.")  # fmt: skip
@click.option("--lag", type=click.FloatRange(0), help="How long writes may stay invisible, in sandbox seconds.")
@click.option("--cost-model", type=click.Choice(["one", "thirds"]), default="one", show_default=True,
              help="What adding several members in one request costs.")  # fmt: skip
@click.option("--write-quota", type=click.IntRange(1), default=3000, show_default=True,
              help="Writes per 150 sandbox seconds.")  # fmt: skip
@click.option("--port-base", type=click.IntRange(1024, 65530), help="First of five ports (default: any free ones).")
@click.option("--http2", is_flag=True, help="Offer HTTP/2 on the Graph port.")
@click.option("--watch-parent", is_flag=True, help="End when the process that started it is gone.")
@click.option("--log-limit", type=click.IntRange(0), help="Keep only so many rows of the request log (0: none).")
@click.option("--plugin", type=click.Path(path_type=Path, exists=True),
              help="Plugin of the PowerSchool server, a folder or .zip file (default: the daemon's).")  # fmt: skip
@click.option("--powerschool", "powerschool", multiple=True, metavar="NAME=VALUE",
              help="A setting of the PowerSchool server; VALUE is JSON or text.")  # fmt: skip
@click.option("--entra", "entra", multiple=True, metavar="NAME=VALUE",
              help="A setting of the Entra tenant; VALUE is JSON or text.")  # fmt: skip
def command(today: dt.datetime | None, powerschool: tuple[str, ...], entra: tuple[str, ...], **chosen: Any) -> None:
    """Run a PowerSchool server and an Entra tenant with Microsoft Graph on loopback, until interrupted.

    Prints one line of JSON with the URLs when ready. Administration (state, changes, faults, request log) is plain
    HTTP below /_sandbox/ on the `admin` URL; `curl ADMIN/_sandbox/` lists all of it.
    """
    from sds_daemon.sandbox.options import SandboxOptions
    from sds_daemon.sandbox.server import run

    day = None if today is None else today.date()
    options = SandboxOptions(today=day, powerschool=_settings(powerschool), entra=_settings(entra), **chosen)
    try:
        run(options, click.echo)
    except (ValueError, OSError) as problem:
        click.echo(f"The sandbox cannot start: {problem}", err=True)
        sys.exit(2)


def _settings(pairs: tuple[str, ...]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise click.UsageError(f"{pair!r} is not NAME=VALUE")
        try:
            settings[name] = json.loads(value)
        except ValueError:
            settings[name] = value
    return settings
