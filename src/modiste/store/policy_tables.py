"""The tables of policies: every version of each, and what they are attached to. Both only grow.

The newest row of a name counts; a row without a policy says that the name was taken away. The same
holds for attachments: the newest row of a target and a policy says whether it is attached.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base
from modiste.types import Attachment, Guarded, PolicyVersion


class PolicyRow(Base):
    __tablename__ = "policies"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(100))
    version: Mapped[int] = mapped_column(sa.Integer)
    policy: Mapped[Mapping[str, Any] | None] = mapped_column(Noun(Mapping[str, Any]))
    """NULL: taken away."""
    comment: Mapped[str | None] = mapped_column(sa.Text)
    created_at: Mapped[datetime] = mapped_column(Time)
    created_by: Mapped[str] = mapped_column(sa.String(40))

    __table_args__ = (sa.UniqueConstraint("org", "name", "version", name="uq_policies_version"),)

    def noun(self) -> PolicyVersion:
        return PolicyVersion(
            self.name,
            self.version,
            self.policy,
            self.created_at,
            self.created_by,
            comment=self.comment,
        )


class AttachmentRow(Base):
    __tablename__ = "policy_attachments"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    guarded: Mapped[Guarded] = mapped_column(Word(Guarded))
    target: Mapped[str] = mapped_column(sa.String(400))
    policy: Mapped[str] = mapped_column(sa.String(100))
    attached: Mapped[bool] = mapped_column(sa.Boolean)
    set_at: Mapped[datetime] = mapped_column(Time)
    set_by: Mapped[str] = mapped_column(sa.String(40))

    __table_args__ = (sa.Index("ix_policy_attachments_org", "org", "guarded", "target"),)

    def noun(self) -> Attachment:
        return Attachment(self.guarded, self.target, self.policy, self.set_at, self.set_by)
