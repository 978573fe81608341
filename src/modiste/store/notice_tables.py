"""The table of what is still to be told about ended jobs, and of what was told.

A row is written in the transaction that ends the job, so there is none without the other.
"""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Time, Word
from modiste.store.tables import Base
from modiste.types import Notice, NoticeChannel, NoticeStatus


class NoticeRow(Base):
    __tablename__ = "notices"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(sa.String(40), unique=True)
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("jobs.id", ondelete="CASCADE"))
    channel: Mapped[NoticeChannel] = mapped_column(Word(NoticeChannel))
    target: Mapped[str] = mapped_column(sa.String(320))
    status: Mapped[NoticeStatus] = mapped_column(Word(NoticeStatus))
    attempts: Mapped[int] = mapped_column(sa.Integer)
    due_at: Mapped[datetime | None] = mapped_column(Time)
    """While somebody sends it: when it is free again if nothing is heard."""
    lease: Mapped[str | None] = mapped_column(sa.String(36))
    error: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    ended_at: Mapped[datetime | None] = mapped_column(Time)

    __table_args__ = (
        sa.UniqueConstraint("job_id", "channel", "target", name="uq_notices_receiver"),
        sa.Index("ix_notices_due", "due_at"),
    )

    def noun(self) -> Notice:
        return Notice(
            id=self.id,
            job_id=self.job_id,
            channel=self.channel,
            target=self.target,
            status=self.status,
            attempts=self.attempts,
            created_at=self.created_at,
            due_at=self.due_at,
            ended_at=self.ended_at,
            error=self.error,
        )
