"""The schema's history, and bringing a database up to date.

Alembic is imported only when there is something to do: commands on a current database stay quick.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection

from sds_daemon.errors import StateError
from sds_daemon.store.database import Database

HEAD = "0006"
SCRIPTS = Path(__file__).parent
MIGRATION_PATIENCE = 60.0


def ensure_current(database: Database, *, migrate: bool) -> None:
    """Bring the schema to HEAD in one transaction, or raise StateError: newer than the program, old and not to migrate.

    Two processes may do this at once: the second waits and finds nothing left to do. Killed in the middle, the
    database is as before.
    """
    with database.read() as connection:
        if revision(connection) == HEAD:
            return
    if not migrate:
        raise StateError(
            f"state database {database.path}: its schema is not that of this version",
            remedy="sds-daemon sync or run brings it up to date",
        )
    upgrade(database)


def revision(connection: Connection) -> str | None:
    """The revision stored in the database; None for an empty one."""
    found = connection.exec_driver_sql(
        "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'"
    ).scalar_one()
    if not found:
        return None
    row = connection.exec_driver_sql("SELECT version_num FROM alembic_version").first()
    return None if row is None else str(row[0])


def upgrade(database: Database, *, scripts: Path = SCRIPTS, target: str = "head") -> None:
    """Run the missing migrations. Raises StateError; the database is then unchanged."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(scripts))
    with database.write(patience=MIGRATION_PATIENCE) as connection:
        _refuse_unknown(database, connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, target)


def _refuse_unknown(database: Database, connection: Connection, directory: object) -> None:
    found = revision(connection)
    known = {script.revision for script in directory.walk_revisions()}  # type: ignore[attr-defined]
    if found is not None and found not in known:
        raise StateError(
            f"state database {database.path}: its schema ({found}) is newer than this program knows",
            remedy="install the sds-daemon version that wrote it, or a later one",
        )
    if found is None and connection.exec_driver_sql("SELECT count(*) FROM sqlite_master").scalar_one():
        raise StateError(
            f"state database {database.path}: it belongs to another program",
            remedy="set daemon.database to a path of its own",
        )
