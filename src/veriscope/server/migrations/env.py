"""How Alembic runs the migrations: on the server's engine, one transaction, one server at a time."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from veriscope.server.tables import Table

LOCK = 0x5645524953434F50  # "VERISCOP": the advisory lock under which one server migrates

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=Table.metadata, transactional_ddl=True)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        context.run_migrations()
