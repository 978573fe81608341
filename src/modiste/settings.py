"""Settings: one frozen object; defaults < `<home>/modiste.yaml` < environment < flags.

Every value knows where it came from (`settings.source_of("port")`). Unknown keys are refused with
the nearest known name. Reading settings touches no file but `modiste.yaml` and creates nothing.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from modiste.errors import InvalidInput

ENVIRONMENT_PREFIX = "MODISTE_"
NOT_SETTINGS = frozenset({"MODISTE_DATA", "MODISTE_NATIVE"})
"""Names under our prefix that belong to the development data, the test suite and `nn.native`."""


class Executor(StrEnum):
    LOCAL = "local"
    TORCHRUN = "torchrun"
    RAY = "ray"


class Sharding(StrEnum):
    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


class ServeLinear(StrEnum):
    """How the engine keeps weights: `auto` computes what the files say, the others say how."""

    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    home: Path = Field(default=Path("~/.modiste"), description="Everything the embedded mode keeps")
    host: str = Field(default="127.0.0.1", description="Address the server listens on")
    port: int = Field(default=8321, ge=0, le=65535, description="Port; 0 picks a free one")
    workers: int = Field(default=1, ge=0, le=64, description="Worker processes `modiste up` starts")
    url: str | None = Field(default=None, description="Server the CLI and the client talk to")
    api_key: SecretStr | None = Field(default=None, description="Key the CLI and the client send")
    public_url: str | None = Field(
        default=None, description="Base of signed file URLs where a proxy hides host and port"
    )
    database_url: SecretStr | None = Field(
        default=None, description="SQLAlchemy URL; default sqlite in <home>/modiste.db"
    )
    blob_url: str | None = Field(
        default=None, description="file://, s3://, gs:// or az:// URL; default <home>/blobs"
    )
    max_upload_bytes: int = Field(default=512 * 1024 * 1024, ge=1)
    base_aliases: dict[str, str] = Field(
        default_factory=dict,
        description="Model name clients use -> installed base, e.g. open-mistral-7b=modiste-tiny",
    )
    price_micro_per_million_tokens: int = Field(
        default=0, ge=0, description="Price of a million training tokens, in micro-units"
    )
    currency: str = Field(default="EUR", pattern=r"^[A-Z]{3}$")
    lease_s: float = Field(
        default=30.0, gt=0, description="A job is free again this long after its worker last spoke"
    )
    stall_timeout_s: float = Field(
        default=600.0, gt=0, description="A trainer that reports nothing for this long is stopped"
    )
    checkpoint_interval_steps: int | None = Field(
        default=None, ge=1, description="Steps between checkpoints; default a tenth, at least 10"
    )
    train_threads: int | None = Field(default=None, ge=1, description="Torch threads of a trainer")
    executor: Executor = Field(
        default=Executor.LOCAL,
        description="Where a job trains: one process (local), one per GPU of this machine "
        "(torchrun), the machines of a Ray cluster (ray)",
    )
    train_processes: int | None = Field(
        default=None,
        ge=1,
        le=4096,
        description="Processes that train one job together; default one per GPU",
    )
    shard_base: Sharding = Field(
        default=Sharding.AUTO,
        description="Spread a frozen base over the GPUs of a job: where it does not fit one (auto)",
    )
    secrets_key: SecretStr | None = Field(
        default=None,
        description="Fernet key that keys of trackers are sealed with; default <home>/secrets.key",
    )
    ray_address: str | None = Field(
        default=None, description="Ray cluster of executor ray; default one on this machine"
    )
    engine_threads: int | None = Field(
        default=None, ge=1, description="Torch threads of the engine"
    )
    serve_linear: ServeLinear = Field(
        default=ServeLinear.AUTO,
        description="Weights of served bases: exact (auto), or fp32, bf16, int8 (fast, rounded)",
    )
    engine_max_sequences: int = Field(default=64, ge=1, le=1024)
    engine_max_waiting: int = Field(default=256, ge=0)
    engine_prefix_mib: int | None = Field(
        default=None,
        ge=0,
        description="Memory per base for prompts that come again; 0 keeps none; default a share",
    )
    batch_concurrency: int = Field(
        default=8, ge=1, le=1024, description="Requests of one batch that run at the same time"
    )
    drain_timeout_s: float = Field(default=30.0, ge=0)
    sql_mysql_port: int | None = Field(
        default=47335,
        ge=0,
        le=65535,
        description="Port of MySQL clients; 0 picks a free one, off opens none",
    )
    sql_postgres_port: int | None = Field(
        default=47336,
        ge=0,
        le=65535,
        description="Port of PostgreSQL clients; 0 picks a free one, off opens none",
    )
    sql_max_connections: int = Field(
        default=200, ge=1, description="Clients that either of the two ports serves at a time"
    )
    sql_idle_timeout_s: float = Field(
        default=28_800.0, gt=0, description="A SQL client that asks nothing so long is sent away"
    )
    sql_tls_cert: Path | None = Field(
        default=None, description="Certificate of the SQL ports (PEM); default one made here"
    )
    sql_tls_key: Path | None = Field(default=None, description="Its private key (PEM)")
    upstream_hosts: tuple[str, ...] = Field(
        default=("public",),
        description="Who may be asked for models elsewhere: public (any public host over https), "
        "hosts with or without port, networks such as 10.0.0.0/8",
    )
    sql_dir: Path | None = Field(
        default=None,
        description="Folder whose SQLite, DuckDB, CSV, Parquet and JSONL files SQL may read; "
        "default <home>/sql",
    )
    sql_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts whose databases SQL may read; none listed means any"
    )
    sql_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest time a source may take for a query"
    )
    upstream_connect_timeout_s: float = Field(default=5.0, gt=0)
    upstream_first_token_timeout_s: float = Field(default=60.0, gt=0)
    upstream_token_timeout_s: float = Field(
        default=60.0, gt=0, description="Longest silence within a stream of an upstream"
    )
    upstream_answer_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest time for an answer that is not streamed"
    )

    @field_validator("upstream_hosts", "sql_hosts", mode="before")
    @classmethod
    def _hosts_in_one_text(cls, hosts: Any) -> Any:
        """As the environment gives them: `public,127.0.0.1:8000`."""
        return tuple(each.strip() for each in hosts.split(",")) if isinstance(hosts, str) else hosts

    @field_validator("sql_mysql_port", "sql_postgres_port", mode="before")
    @classmethod
    def _off_is_none(cls, port: Any) -> Any:
        """YAML reads `off` as false, the environment gives the word."""
        return None if port is False or port == "off" else port

    @field_validator("train_processes")
    @classmethod
    def _several_need_an_executor(cls, n: int | None, info: ValidationInfo) -> int | None:
        if n is not None and n > 1 and info.data.get("executor") is Executor.LOCAL:
            raise ValueError(f"{n} processes need executor torchrun or ray; it is local")
        return n

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def source_of(self, name: str) -> str:
        """`default`, `file <path>`, `environment MODISTE_X` or `flag`."""
        return self._sources.get(name, "default")

    @property
    def database(self) -> str:
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home / 'modiste.db'}"

    @property
    def blobs(self) -> str:
        return self.blob_url or (self.home / "blobs").as_uri()

    @property
    def runs_dir(self) -> Path:
        """One folder per training job: spec, events, checkpoints."""
        return self.home / "runs"

    @property
    def process_dir(self) -> Path:
        """Who runs now: `server.json`, `engine.json`, logs."""
        return self.home / "run"

    @property
    def cache_dir(self) -> Path:
        """Copies of blobs that engines need as folders; safe to delete."""
        return self.home / "cache"

    @property
    def sql_files(self) -> Path:
        """What SQL may read of this machine's files lies in here."""
        return (self.sql_dir or self.home / "sql").expanduser().resolve()

    @property
    def admin_key_file(self) -> Path:
        return self.home / "admin.key"


def load(
    flags: Mapping[str, Any] | None = None, environment: Mapping[str, str] | None = None
) -> Settings:
    """Read settings from every source; flags whose value is None count as not given.

    Raises:
        InvalidInput: naming every wrong key and value, and where each came from.
    """
    environment = os.environ if environment is None else environment
    given: dict[str, Any] = {}
    sources: dict[str, str] = {}

    from_flags = {k: v for k, v in (flags or {}).items() if v is not None}
    from_environment = {
        name.removeprefix(ENVIRONMENT_PREFIX).lower(): (value, f"environment {name}")
        for name, value in environment.items()
        if name.startswith(ENVIRONMENT_PREFIX) and name not in NOT_SETTINGS and value != ""
    }
    home = Path(
        from_flags.get("home") or from_environment.get("home", (Settings().home, ""))[0]
    ).expanduser()

    for key, value in _read_file(home / "modiste.yaml").items():
        given[key], sources[key] = value, f"file {home / 'modiste.yaml'}"
    for key, (value, source) in from_environment.items():
        given[key], sources[key] = _parse_mapping(key, value), source
    for key, value in from_flags.items():
        given[key], sources[key] = value, "flag"
    given["home"] = home.resolve()

    problems = [
        _unknown_key(key, sources[key]) for key in given if key not in Settings.model_fields
    ]
    if problems:
        raise InvalidInput("; ".join(problems))
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise InvalidInput(
            "; ".join(
                f"{e['loc'][0]} from {sources.get(str(e['loc'][0]), 'default')}: {e['msg']}"
                for e in error.errors()
            )
        ) from None
    settings._sources.update(sources)
    return settings


def _read_file(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not readable as YAML: {error}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: expected `name: value` lines, got {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


def _parse_mapping(key: str, value: str) -> Any:
    """`a=b,c=d` from the environment becomes a dict for the fields that are dicts."""
    if key != "base_aliases":
        return value
    pairs = [pair.partition("=") for pair in value.split(",") if pair.strip()]
    wrong = [name for name, equals, target in pairs if not (name and equals and target)]
    if wrong:
        raise InvalidInput(f"MODISTE_BASE_ALIASES: {wrong} is not of the form name=base,name=base")
    return {name.strip(): target.strip() for name, _, target in pairs}


def _unknown_key(key: str, source: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown setting {key} from {source}{hint}"
