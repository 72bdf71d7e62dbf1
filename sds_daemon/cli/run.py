"""`sds-daemon run`: the daemon."""

from __future__ import annotations

import click


@click.command("run")
@click.pass_obj
def command(context: object) -> None:
    """Run the daemon: every enabled profile, cycle after cycle, until SIGTERM. SIGHUP reads the configuration anew."""
    import sys

    from sds_daemon.assembly import open_store, reconcile_all, sync_profile
    from sds_daemon.cli.context import load_settings
    from sds_daemon.config.load import load
    from sds_daemon.config.settings import Profile, Settings
    from sds_daemon.daemon.service import Stop, serve
    from sds_daemon.errors import ConfigurationError
    from sds_daemon.event_loop import run
    from sds_daemon.logs import configure
    from sds_daemon.sync.summary import RunSummary

    settings, clock = load_settings(context)
    configure(settings.daemon.log_level, sys.stderr)
    path = settings.path
    if path is None:
        raise ConfigurationError("the daemon needs a configuration file", remedy="give --config PATH")
    store = open_store(settings, clock)

    async def run_profile(current: Settings, profile: Profile, stop: Stop) -> RunSummary:
        summary, _ = await sync_profile(current, profile, store, clock, stop=stop)
        return summary

    async def nightly(current: Settings, stop: Stop) -> None:
        await reconcile_all(current, store, clock, stop)

    def applied(current: Settings) -> None:
        configure(current.daemon.log_level, sys.stderr)

    try:
        run(
            serve(
                settings,
                run_profile=run_profile,
                store=store,
                clock=clock,
                reload=lambda: load(path),
                applied=applied,
                nightly=nightly,
            )
        )
    finally:
        store.close()
