"""Everything that accel-db raises.

DatabaseError
├── ConfigurationError
│   ├── MissingDriver (also an ImportError)
│   └── ManagerConflict
├── NotDevelopment
├── NotFound
├── InvalidPayload
│   ├── InvalidValue
│   ├── InvalidCursor
│   ├── UnknownReference
│   └── ForeignChild
├── ConstraintViolation
│   └── Conflict
│       └── ForeignKeyConflict
├── StaleVersion
├── UnsafeStatement
├── NotLoaded
└── Unavailable
    ├── SerializationFailure
    └── StatementTimeout
"""

from collections.abc import Iterable, Sequence

# ruff: noqa: N818  # `except NotFound` reads as it is spoken


class DatabaseError(Exception):
    """The root of the tree: `except DatabaseError` catches all of it."""

    http_status: int = 500
    retry_after: float | None = None


class ConfigurationError(DatabaseError):
    """Raised when a manager cannot be built or used as it was asked to."""


class MissingDriver(ConfigurationError, ImportError):
    """Raised when the driver of a half is not installed."""

    def __init__(self, driver: str, half: str) -> None:
        super().__init__(
            f"The {half} half of the database needs the driver {driver!r}, which is "
            'not installed. Install it with: pip install "accel-db[postgres]"'
        )
        self.driver = driver


class ManagerConflict(ConfigurationError):
    """Raised when one name is asked to be two different managers."""

    def __init__(self, name: str, differing: Sequence[str]) -> None:
        super().__init__(
            f"A manager named {name!r} exists already, with another "
            f"{', '.join(differing)}. Reuse that one, or pass another `name=`."
        )
        self.manager_name = name


class NotDevelopment(DatabaseError):
    """Raised when a destructive call is made outside of development."""

    def __init__(self, operation: str) -> None:
        super().__init__(
            f"`{operation}` is disabled because `DEV_STATUS=False`: it would change "
            "the schema or wipe data. Pass `DEV_STATUS=True` to the manager of a "
            "development or test database."
        )
        self.operation = operation


class NotFound(DatabaseError):
    """Raised when a row that must exist does not."""

    http_status = 404

    def __init__(self, model: str, key: object = None) -> None:
        which = "that matches" if key is None else f"with the key {key!r}"
        super().__init__(f"There is no {model} {which}.")
        self.model = model
        self.key = key


class InvalidPayload(DatabaseError):
    """Raised when data to write does not fit the model."""

    http_status = 422

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r} cannot be written: {reason}.")
        self.path = path


class InvalidValue(InvalidPayload):
    """Raised when a value cannot be read as the type of its column."""

    def __init__(self, path: str, expected: str) -> None:
        super().__init__(path, f"the value is no valid {expected}")
        self.expected = expected


class InvalidCursor(InvalidPayload):
    """Raised when a page cursor was not issued for this query."""

    def __init__(self) -> None:
        super().__init__(
            "cursor", "it is malformed or belongs to another query; start without one"
        )


class UnknownReference(InvalidPayload):
    """Raised when a payload refers to a row that does not exist."""

    def __init__(self, path: str, model: str, key: object) -> None:
        super().__init__(path, f"there is no {model} with the key {key!r}")
        self.key = key


class ForeignChild(InvalidPayload):
    """Raised when a payload claims a child that its parent does not have."""

    def __init__(self, path: str, model: str, key: object) -> None:
        super().__init__(
            path,
            f"{model} {key!r} is no row of its parent; leave the key out for a new "
            "one, or move one by updating its foreign key",
        )
        self.key = key


class ConstraintViolation(DatabaseError):
    """Raised when a row breaks a NOT NULL or CHECK constraint."""

    http_status = 422

    def __init__(
        self,
        constraint: str | None,
        *,
        table: str | None = None,
        columns: Iterable[str] = (),
        kind: str = "constraint",
    ) -> None:
        self.constraint = constraint
        """Its name, where the database tells it."""
        self.table = table
        """The table, where the database tells it."""
        self.columns = tuple(columns)
        """The columns it is about, as far as they are known."""
        self.kind = kind
        """What it is: unique, foreign key, NOT NULL, CHECK, or exclusion."""
        named = f" {constraint!r}" if constraint else ""
        over = f" on {', '.join(self.columns)}" if self.columns else ""
        where = f" of {table!r}" if table else ""
        super().__init__(f"The {kind} constraint{named}{over}{where} {self._fact}.")

    _fact = "does not hold"


class Conflict(ConstraintViolation):
    """Raised when a row collides with one that exists already."""

    http_status = 409
    _fact = "is taken by another row"


class ForeignKeyConflict(Conflict):
    """Raised when a reference points nowhere, or a deleted row is still referred to."""

    _fact = "refers to a missing row, or the row is still referred to"


class StaleVersion(DatabaseError):
    """Raised when somebody else changed the row since it was read."""

    http_status = 409

    def __init__(self, model: str | None = None) -> None:
        which = model or "row"
        super().__init__(
            f"This {which} was changed or deleted since it was read. Read it again, "
            "and repeat the change."
        )
        self.model = model


class UnsafeStatement(DatabaseError):
    """Raised when an update or delete has no WHERE clause."""

    def __init__(self, operation: str, model: str) -> None:
        super().__init__(
            f"This {operation} has no WHERE clause and would reach every {model}. "
            "Add `.where(...)`, or `.where(true())` if you mean every row."
        )


class NotLoaded(DatabaseError):
    """Raised when an attribute was not loaded and cannot be loaded now."""

    def __init__(self, attribute: str) -> None:
        super().__init__(
            f"{attribute!r} was not loaded, and an attribute cannot be awaited. "
            "Load it with `deep=`, with a loader option of the query, or with "
            "`await aorm.eager_refresh(obj)`."
        )
        self.attribute = attribute


class Unavailable(DatabaseError):
    """Raised when the database cannot be reached."""

    http_status = 503
    retry_after = 1.0

    def __init__(self, reason: str = "The database cannot be reached.") -> None:
        super().__init__(f"{reason} Try again.")
        self.reason = reason
        """Why, in a sentence that holds no secret."""


class SerializationFailure(Unavailable):
    """Raised when the transaction lost against a concurrent one."""

    retry_after = 0.1

    def __init__(self) -> None:
        super().__init__(
            "The transaction lost against a concurrent one (serialization failure, "
            "deadlock or lock)."
        )


class StatementTimeout(Unavailable):
    """Raised when a statement took longer than its budget."""

    def __init__(self) -> None:
        super().__init__("The statement was cancelled: it exceeded its time budget.")
