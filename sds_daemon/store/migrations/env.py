"""Alembic's entry point: runs on the connection it is handed, inside that connection's transaction."""

from __future__ import annotations

from alembic import context
from sqlmodel import SQLModel

from sds_daemon.store import tables  # noqa: F401 - fills the metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
