"""`sds-daemon demo`: the whole job on a pretend school district, as a person would want to see it."""

from __future__ import annotations

import click


@click.command("demo")
@click.option("--students", type=click.IntRange(20, 5000), default=200, show_default=True, help="Size of the district.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed makes another district.")
@click.option("--district", metavar="csv:DIR", help="Take the district from a folder of SDS V1 CSV files.")
@click.option("--keep", is_flag=True, help="Leave the pretend servers running, and say how to use them.")
@click.option("--state-out", type=click.Path(dir_okay=False), help="Write the directory's final state here, as JSON.")
def command(students: int, seed: int, district: str | None, keep: bool, state_out: str | None) -> None:
    """Show the whole job on a pretend school district, on this machine alone.

    Starts a pretend PowerSchool and a pretend Entra tenant on loopback, then checks the connections, previews, syncs,
    changes the school as a school day would, previews and syncs again, and counts. Takes less than a minute and leaves
    nothing behind.
    """
    from sds_daemon.cli.show import Show

    arguments = ["--district", district] if district else ["--students", str(students), "--seed", str(seed)]
    show = Show(arguments, keep=keep, state_out=state_out)
    try:
        show.play()
        if keep:
            show.keep()
    finally:
        show.clean_up()
