"""The tables about how models are asked for: names that switch, who let them, what upstreams took.

`aliases` only grows: the newest row of a name counts, and those before it say who switched when.
`promotions` only grows as well: what each decision rested on, refusals among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from modiste.store.columns import Noun, Time, Word
from modiste.store.tables import Base
from modiste.types import Alias, Promotion, PromotionKind, Spent


class AliasRow(Base):
    __tablename__ = "aliases"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(200))
    model: Mapped[str | None] = mapped_column(sa.String(400))
    """NULL: the name was taken away."""
    set_at: Mapped[datetime] = mapped_column(Time)
    set_by: Mapped[str] = mapped_column(sa.String(40))

    __table_args__ = (sa.Index("ix_aliases_org_name", "org", "name"),)

    def noun(self) -> Alias:
        return Alias(self.name, self.model, self.set_at, self.set_by)


class PromotionRow(Base):
    __tablename__ = "promotions"
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    org: Mapped[str] = mapped_column(sa.String(8))
    name: Mapped[str] = mapped_column(sa.String(200))
    kind: Mapped[PromotionKind] = mapped_column(Word(PromotionKind))
    model: Mapped[str] = mapped_column(sa.String(400))
    previous: Mapped[str | None] = mapped_column(sa.String(400))
    decided_at: Mapped[datetime] = mapped_column(Time)
    decided_by: Mapped[str] = mapped_column(sa.String(40))
    approved_by: Mapped[tuple[str, ...]] = mapped_column(Noun(tuple[str, ...]))
    reason: Mapped[str | None] = mapped_column(sa.Text)
    gate: Mapped[Mapping[str, Any] | None] = mapped_column(Noun(Mapping[str, Any]))

    __table_args__ = (sa.Index("ix_promotions_org_name", "org", "name"),)

    def noun(self) -> Promotion:
        return Promotion(
            name=self.name,
            kind=self.kind,
            model=self.model,
            previous=self.previous,
            decided_at=self.decided_at,
            decided_by=self.decided_by,
            approved_by=self.approved_by,
            reason=self.reason,
            gate=self.gate,
        )


class SpendingRow(Base):
    """One row per model and day (UTC)."""

    __tablename__ = "upstream_spending"
    model: Mapped[str] = mapped_column(sa.String(400), primary_key=True)
    day: Mapped[date] = mapped_column(sa.Date, primary_key=True)
    n_requests: Mapped[int] = mapped_column(sa.BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(sa.BigInteger)
    completion_tokens: Mapped[int] = mapped_column(sa.BigInteger)
    cost_micro: Mapped[int] = mapped_column(sa.BigInteger)
    n_estimated: Mapped[int] = mapped_column(sa.BigInteger)

    def noun(self) -> Spent:
        return Spent(
            n_requests=self.n_requests,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            cost_micro=self.cost_micro,
            n_estimated=self.n_estimated,
        )
