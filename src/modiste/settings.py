"""Settings: one frozen object; defaults < `<home>/modiste.yaml` < environment < flags.

Every value knows where it came from (`settings.source_of("port")`). Unknown keys are refused with
the nearest known name. Reading settings touches no file but `modiste.yaml` and creates nothing.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import os
import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

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
from modiste.types import NoticeChannel

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


class SmtpTls(StrEnum):
    """How mail goes to the server: encrypted after a first word, from the first byte, never."""

    STARTTLS = "starttls"
    TLS = "tls"
    OFF = "off"


SMTP_PORTS: Mapping[SmtpTls, int] = {SmtpTls.STARTTLS: 587, SmtpTls.TLS: 465, SmtpTls.OFF: 25}
MAIL_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\"\\]+@[^\s@<>()\[\],;:\"\\]+")
MOST_OF_AN_ADDRESS = 254
"""RFC 5321 lets no more of it pass."""
WEBHOOK_KEY_BYTES = range(24, 65)
"""As Standard Webhooks wants it."""
HOW_TO_SIGN = (
    """`python -c 'import base64, secrets; print("whsec_" + """
    """base64.b64encode(secrets.token_bytes(32)).decode())'` makes one"""
)


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
    smtp_host: str | None = Field(
        default=None,
        pattern=r"^[!-~]+$",
        description="Mail server by which mail_to is told how jobs ended; default no mail",
    )
    smtp_port: int | None = Field(
        default=None, ge=1, le=65535, description="Default 587; with smtp_tls tls 465, off 25"
    )
    smtp_tls: SmtpTls = Field(
        default=SmtpTls.STARTTLS,
        description="Mail is encrypted by starttls, by tls from the first byte, or not (off)",
    )
    smtp_user: str | None = Field(default=None, description="Name at the mail server, if any")
    smtp_password: SecretStr | None = Field(default=None, validate_default=True)
    mail_from: str | None = Field(
        default=None, validate_default=True, description="Address that mail comes from"
    )
    mail_to: tuple[str, ...] = Field(
        default=(), validate_default=True, description="Addresses that are told how jobs ended"
    )
    webhook_url: SecretStr | None = Field(
        default=None, description="URL that is told how jobs ended; upstream_hosts must permit it"
    )
    webhook_secret: SecretStr | None = Field(
        default=None,
        validate_default=True,
        description="Key that webhooks are signed with: whsec_ and base64 of 24 to 64 bytes",
    )
    upstream_connect_timeout_s: float = Field(default=5.0, gt=0)
    upstream_first_token_timeout_s: float = Field(default=60.0, gt=0)
    upstream_token_timeout_s: float = Field(
        default=60.0, gt=0, description="Longest silence within a stream of an upstream"
    )
    upstream_answer_timeout_s: float = Field(
        default=600.0, gt=0, description="Longest time for an answer that is not streamed"
    )

    @field_validator("upstream_hosts", "sql_hosts", "mail_to", mode="before")
    @classmethod
    def _several_in_one_text(cls, hosts: Any) -> Any:
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

    @field_validator("smtp_tls", mode="before")
    @classmethod
    def _off_is_a_word(cls, mode: Any) -> Any:
        return SmtpTls.OFF if mode is False else mode  # YAML reads `off` as false.

    @field_validator("smtp_password")
    @classmethod
    def _named_and_encrypted(
        cls, password: SecretStr | None, info: ValidationInfo
    ) -> SecretStr | None:
        if (password is None) is not (info.data.get("smtp_user") is None):
            raise ValueError("smtp_user and smtp_password go together; one of them is missing")
        if password is not None and info.data.get("smtp_tls") is SmtpTls.OFF:
            raise ValueError("a password is not sent in the clear: set smtp_tls to starttls or tls")
        return password

    @field_validator("mail_from")
    @classmethod
    def _comes_from_somebody(cls, sender: str | None, info: ValidationInfo) -> str | None:
        if sender is None and info.data.get("smtp_host"):
            raise ValueError("smtp_host is set; say which address mail comes from, too")
        return sender if sender is None else _mail_address(sender)

    @field_validator("mail_to")
    @classmethod
    def _goes_to_somebody(cls, to: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        host = info.data.get("smtp_host", to)  # A wrong one has its own message.
        if bool(to) is not bool(host):
            raise ValueError("smtp_host and mail_to go together; one of them is missing")
        return tuple(dict.fromkeys(_mail_address(each) for each in to))

    @field_validator("webhook_url")
    @classmethod
    def _web_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and (wrong := _wrong_in_webhook(url.get_secret_value())):
            raise ValueError(wrong)
        return url

    @field_validator("webhook_secret")
    @classmethod
    def _signs(cls, secret: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        url = info.data.get("webhook_url", secret)  # A wrong one has its own message.
        if (secret is None) is not (url is None):
            raise ValueError(
                f"webhook_url and webhook_secret go together; one of them is missing. {HOW_TO_SIGN}"
            )
        if secret is not None and len(_webhook_key(secret)) not in WEBHOOK_KEY_BYTES:
            raise ValueError(f"not whsec_ and then base64 of 24 to 64 random bytes; {HOW_TO_SIGN}")
        return secret

    _sources: dict[str, str] = PrivateAttr(default_factory=dict)

    def source_of(self, name: str) -> str:
        """`default`, `file <path>`, `environment MODISTE_X` or `flag`."""
        return self._sources.get(name, "default")

    @property
    def told(self) -> tuple[tuple[NoticeChannel, str], ...]:
        """Who is told how jobs ended: channels, and addresses of mail."""
        mail = tuple((NoticeChannel.EMAIL, each) for each in self.mail_to)
        return mail if self.webhook_url is None else (*mail, (NoticeChannel.WEBHOOK, ""))

    @property
    def webhook_key(self) -> bytes:
        return b"" if self.webhook_secret is None else _webhook_key(self.webhook_secret)

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


def _mail_address(text: str) -> str:
    """An address is a line of a protocol and of a header, so nothing else may be in it."""
    right = text.isascii() and text.isprintable() and len(text) <= MOST_OF_AN_ADDRESS
    if not (right and MAIL_ADDRESS.fullmatch(text)):
        raise ValueError(f"{text!r} is no mail address such as team@example.org")
    return text


def _wrong_in_webhook(url: str) -> str | None:
    """The URL is not said back: it may be all that a receiver knows senders by."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not (right and url.isascii() and url.isprintable() and " " not in url):
        return "is no web address such as https://hooks.example.org/modiste"
    if "@" in parts.netloc:
        return "holds a user or a password; receivers know us by the signature, leave them out"
    return "holds a fragment; leave out everything from # on" if "#" in url else None


def _webhook_key(secret: SecretStr) -> bytes:
    """Empty where it is not base64."""
    try:
        return base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _unknown_key(key: str, source: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    return f"unknown setting {key} from {source}{hint}"
