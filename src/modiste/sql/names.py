"""What a name in a query stands for, decided once per statement on one view of the catalog.

`a.b[.c]`: digits at the end are a version; `a` is a project, or a data source; else the session's
own database says. A switch of versions in the middle of a statement has no effect on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from modiste.actions import data_sources, predictor_tunings, predictors, projects
from modiste.actions.predictors import Named
from modiste.sql import errors
from modiste.sql.session import PROJECT, Session
from modiste.store.database import Tx
from modiste.types import DataSource, PredictorVersion, SqlView

SCHEMA = "information_schema"
SYSTEM = (
    "models", "models_versions", "ml_engines", "handlers", "databases", "projects", "views",
    "jobs", "jobs_history",
)  # fmt: skip
HOUSE = ("evals", "datasets")
"""Tables that no project has: they are in `information_schema` alone."""
SYSTEM_DATABASES = (SCHEMA, "log")
FOREIGN_SCHEMAS = ("pg_catalog", SCHEMA, "mysql", "performance_schema", "sys")


@dataclass(frozen=True)
class SystemTable:
    name: str
    project: str | None


@dataclass(frozen=True)
class SourceTable:
    source: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Foreign:
    """A table of MySQL's or PostgreSQL's own catalog, which clients look into."""

    schema: str
    name: str


Target = PredictorVersion | SystemTable | SqlView | SourceTable | Foreign


@dataclass(frozen=True)
class Names:
    projects: tuple[str, ...]
    sources: tuple[DataSource, ...]
    versions: tuple[PredictorVersion, ...]
    views: tuple[SqlView, ...]
    database: str

    def is_source(self, name: str) -> bool:
        return any(source.name == name for source in self.sources)

    def is_database(self, name: str) -> bool:
        return name in (*self.projects, *SYSTEM_DATABASES) or self.is_source(name)

    def model(self, named: Named) -> PredictorVersion | None:
        for version in self.versions:
            if (version.project, version.name) == (named.project, named.name) and (
                version.active if named.version is None else version.version == named.version
            ):
                return version
        return None

    def named(self, path: tuple[str, ...]) -> Named:
        """`[project.]m[.N]` of a statement about models.

        Raises:
            SqlError: too many parts, or no such project.
        """
        version = None
        if len(path) > 1 and path[-1].isdigit():
            version, path = int(path[-1]), path[:-1]
        if len(path) > 2:
            raise errors.bad(f"{'.'.join(path)} names no model; expected [project.]model[.version]")
        project = path[0] if len(path) == 2 else self.project
        if project not in self.projects:
            raise errors.no_database(project)
        return Named(project, path[-1], version)

    @property
    def project(self) -> str:
        return self.database if self.database in self.projects else PROJECT

    def target(self, path: tuple[str, ...]) -> Target:
        """Raises SqlError: nothing of that name."""
        if len(path) > 1 and path[-1].isdigit():
            named = self.named(path)
            found = self.model(named)
            if found is None:
                raise errors.no_table(
                    f"Model {named.name} with version {named.version} is not found in "
                    f"{named.project}"
                )
            return found
        head, rest = path[0], path[1:]
        if rest and head in FOREIGN_SCHEMAS:
            known = head == SCHEMA and rest[-1] in (*SYSTEM, *HOUSE)
            return SystemTable(rest[-1], None) if known else Foreign(head, rest[-1])
        if not rest and head.startswith("pg_"):
            return Foreign("pg_catalog", head)
        if len(path) == 2 and head == "log":
            if rest[0] != "jobs_history":
                raise errors.no_table(f"Table '{rest[0]}' not found in database: log")
            return SystemTable("jobs_history", None)
        if len(path) == 2 and head in self.projects:
            return self._inside(head, rest[0])
        if rest and self.is_source(head):
            return SourceTable(head, rest)
        if self.is_source(self.database):
            return SourceTable(self.database, path)
        if rest:
            raise errors.no_database(head)
        return self._inside(self.project, head)

    def _inside(self, project: str, name: str) -> Target:
        found = self.model(Named(project, name))
        if found is not None:
            return found
        view = next((v for v in self.views if (v.project, v.name) == (project, name)), None)
        if view is not None:
            return view
        if name in SYSTEM:
            return SystemTable(name, project)
        raise errors.no_table(f"Table '{name}' not found in database: {project}")


async def load(session: Session) -> Names:
    """The catalog as it is now, versions told what became of their jobs."""
    if await session.place.read(predictor_tunings.unsettled):
        await session.place.write(predictor_tunings.settle)

    def look(tx: Tx) -> Names:
        actor = session.caller
        return Names(
            projects.list_(tx, actor),
            data_sources.list_(tx, actor),
            predictors.list_(tx, actor),
            projects.views(tx, actor),
            session.database,
        )

    return await session.place.read(look)
