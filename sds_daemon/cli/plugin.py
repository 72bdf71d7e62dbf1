"""`sds-daemon plugin`: the package PowerSchool installs."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("plugin")
def command() -> None:
    """Build the plugin that gives the daemon its credentials in PowerSchool."""


@command.command("build")
@click.argument("out", type=click.Path(path_type=Path))
def build(out: Path) -> None:
    """Write the plugin as OUT, a .zip with plugin.xml at its root, ready to install in PowerSchool."""
    from sds_daemon.errors import UsageError
    from sds_daemon.sources.powerschool.plugin import build_zip

    if out.suffix.lower() != ".zip":
        raise UsageError(f"{out} does not end in .zip", remedy="PowerSchool takes nothing else; name it plugin.zip")
    try:
        build_zip(out)
    except OSError as error:
        raise UsageError(f"{out} cannot be written ({error.strerror})", remedy="name a place you may write") from error
    click.echo(f"wrote {out}")
    click.echo(
        "In PowerSchool: System > System Settings > Plugin Management Configuration > Install, choose the file, "
        "enable it; then Data Provider Configuration shows the client id and secret."
    )
