"""The tables: users, and the notes that belong to them."""

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, ForeignKey, String, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, declared_attr, mapped_column, relationship

__all__ = ["Base", "Export", "Note", "Race", "Stamped", "User", "now"]


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


class Moment(TypeDecorator[datetime]):
    """A point in time. SQLite forgets the zone, so it is put back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give a time without a zone the one it was written in."""
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


class Base(DeclarativeBase):
    """What all tables have in common."""


class User(Base):
    """Somebody with an account. Names are kept in lower case, so that no two differ by case alone."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))


class Stamped:
    """Rows that say who changed them and when; `stamping` fills this in."""

    changed_at: Mapped[datetime] = mapped_column(Moment)
    changed_by_id: Mapped[int | None] = mapped_column(ForeignKey(User.id))

    @declared_attr
    @classmethod
    def changed_by(cls) -> Mapped[User | None]:
        """The user of the request that changed the row, None if no user did."""
        return relationship(foreign_keys=f"{cls.__name__}.changed_by_id")


class Export(Base):
    """All notes of somebody in a file, which a job makes."""

    __tablename__ = "exports"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012  # no id is used again: a late job would find it

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    state: Mapped[str] = mapped_column(String(8), default="waiting")  # then "ready" or "failed"
    content: Mapped[str] = mapped_column(Text, default="", deferred=True)
    begun_at: Mapped[datetime] = mapped_column(Moment, default=now)


class Race(Base):
    """Two users at once: a load that somebody has started, and the answers so far."""

    __tablename__ = "races"

    id: Mapped[int] = mapped_column(primary_key=True)
    running: Mapped[bool | None] = mapped_column(unique=True)  # True or nothing: so no two can run
    begun_at: Mapped[datetime] = mapped_column(Moment, default=now)
    answers: Mapped[str] = mapped_column(Text, default="[]")


class Note(Stamped, Base):
    """One page of somebody's notebook."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(ForeignKey(User.id), index=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(Moment, default=now)

    owner: Mapped[User] = relationship(foreign_keys=owner_id)
