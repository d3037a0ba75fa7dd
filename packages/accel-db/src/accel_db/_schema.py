"""Tables of one metadata: created, dropped and emptied."""

from collections.abc import Iterable

from sqlalchemy import Connection, MetaData, Table
from sqlalchemy.schema import sort_tables_and_constraints


def empty_tables(
    connection: Connection, metadata: MetaData, exclude: Iterable[str] | str | None
) -> set[str]:
    """Delete the rows of every table of *metadata* but those in *exclude*.

    One statement on PostgreSQL; a foreign table is never reached. Returns the names of
    the tables.
    """
    names = {exclude} if isinstance(exclude, str) else set(exclude or ())
    ordered, circular = _children_first(metadata)
    tables = [t for t in ordered if not {t.name, t.fullname} & names]
    emptied = {table.fullname for table in tables}
    if not tables:
        return emptied
    quoted = [connection.dialect.identifier_preparer.format_table(t) for t in tables]
    if connection.dialect.name == "postgresql":
        # Checks of a DELETE come at once, those of one TRUNCATE for all its tables.
        if circular:
            statement = f"TRUNCATE {', '.join(quoted)}"
        else:
            deletes = "; ".join(f"DELETE FROM {name}" for name in quoted)  # noqa: S608  # quoted names of our own tables
            statement = f"DO $accel$ BEGIN {deletes}; END $accel$"
        connection.exec_driver_sql(statement)
        return emptied
    # In a circle of tables no order is right: let SQLite check at the commit.
    connection.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    for name in quoted:
        connection.exec_driver_sql(f"DELETE FROM {name}")  # noqa: S608  # quoted names of our own tables
    return emptied


def _children_first(metadata: MetaData) -> tuple[list[Table], bool]:
    """Return the tables in the order to empty them, and whether none is right."""
    ordered: list[Table] = []
    circular = False
    tables: Iterable[Table] = metadata.tables.values()
    for table, constraints in sort_tables_and_constraints(tables):  # type: ignore[no-untyped-call]
        if table is not None:
            ordered.append(table)
        else:
            circular = bool(constraints)
    return ordered[::-1], circular
