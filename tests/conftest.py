"""Fixtures that more than one package's tests need: random models, databases, a real server."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from unittest.mock import patch

import pytest

from modiste import settings as settings_module
from modiste.actions import keys, models
from modiste.settings import Settings
from modiste.store.database import Database
from modiste.types import Actor
from modiste.work import supervisor

sys.path.insert(0, str(Path(__file__).parent))
if TYPE_CHECKING:
    from receivers import Hook, Mailbox

TINY = {
    "vocab_size": 199,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
    "sliding_window": None,
}
"""Sizes that are no powers of two, so that vector loops have remainders."""


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes may hold the time (gzip writes it), and both processes must call a test the same."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever asks for slow tests alone need not wait for files without any to be imported."""
    if config.option.markexpr != "slow" or collection_path.suffix != ".py":
        return None
    marking = (collection_path, collection_path.with_name("conftest.py"))
    return None if any("slow" in path.read_text() for path in marking if path.is_file()) else True


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files with few slow tests hold the longest and go first, so that none of them ends alone."""
    if config.option.markexpr == "slow":
        count = Counter(item.path for item in items)
        items.sort(key=lambda item: (count[item.path], item.path))


@pytest.fixture(scope="session")
def random_base(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`random_base("mistral", sliding_window=9)` is a folder in Hugging Face layout."""

    def make(family: str, *, seed: int = 0, **changes: Any) -> Path:
        import torch
        from transformers import AutoConfig, AutoModelForCausalLM

        torch.manual_seed(seed)
        dtype = changes.pop("dtype", torch.float32)
        config = AutoConfig.for_model(family, **(TINY | changes))
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                # Biases and norms start as zeros and ones, which would hide mistakes; wide
                # embeddings make the logits tell tokens apart.
                if name.endswith("bias") or "norm" in name:
                    parameter.add_(torch.randn_like(parameter) * 0.2)
                elif "embed" in name or "lm_head" in name:
                    parameter.normal_(std=1.0)
                else:
                    parameter.normal_(std=1.5 / parameter[0].numel() ** 0.5)
        path = tmp_path_factory.mktemp(family)
        model.to(dtype).save_pretrained(path)
        return path

    return make


@pytest.fixture(scope="session")
def random_adapter(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`random_adapter(base, r=4)` is a PEFT folder, saved by PEFT itself, B not zero."""

    def make(base: Path, *, seed: int = 0, **changes: Any) -> Path:
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModelForCausalLM

        torch.manual_seed(seed)
        settings = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear"} | changes
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        tuned = get_peft_model(model, LoraConfig(**settings))
        with torch.no_grad():
            for name, parameter in tuned.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.1)
        path = tmp_path_factory.mktemp("adapter")
        tuned.save_pretrained(path)
        return path

    return make


def wait_for_postgresql(folder: Path, deadline: float) -> None:
    """The socket is there a moment before the server answers."""
    import psycopg

    while True:
        try:
            psycopg.connect(f"host={folder} user=modiste dbname=postgres").close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, "PostgreSQL did not answer within 60 s"
            time.sleep(0.1)


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a private PostgreSQL on a Unix socket, without durability: tests only."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [
        Path(found).parent for found in [shutil.which("initdb")] if found
    ]
    if not binaries:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    pytest.importorskip("psycopg", reason="pip install 'modiste[postgres]'")
    # PostgreSQL refuses to run as root; a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="modiste-pg-"))
    user = "nobody" if os.getuid() == 0 else None
    if user:
        shutil.chown(folder, user)
    data = folder / "data"
    as_user: dict[str, Any] = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
    subprocess.run(
        [binaries[-1] / "initdb", "-D", data, "-U", "modiste", "-A", "trust", "-E", "UTF8"],
        check=True,
        **as_user,
    )
    options = [
        "-c",
        "listen_addresses=",
        "-c",
        "fsync=off",
        "-c",
        f"unix_socket_directories={folder}",
    ]
    server = subprocess.Popen(
        [binaries[-1] / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, **as_user
    )
    try:
        deadline = time.monotonic() + 60
        while not (folder / ".s.PGSQL.5432").exists():
            assert server.poll() is None, "PostgreSQL did not start"
            assert time.monotonic() < deadline, "PostgreSQL did not start within 60 s"
            time.sleep(0.05)
        wait_for_postgresql(folder, deadline)
        yield f"postgresql+psycopg://modiste@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, database_kind: str) -> str | None:
    """An empty database of each kind; None is SQLite in the home.

    A PostgreSQL that is going to be migrated may have the tables already.
    """
    if database_kind == "sqlite":
        return None
    import psycopg

    url: str = request.getfixturevalue("postgresql_server")
    for _ in range(50):  # The socket is there a moment before the server answers.
        try:
            connection = psycopg.connect(url.replace("+psycopg", ""), autocommit=True)
            break
        except psycopg.OperationalError:
            time.sleep(0.1)
    with connection:
        # Emptying one database is faster than making many, and leaves fewer files behind.
        others = "pid <> pg_backend_pid() AND datname = current_database()"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
        if "migrate" in request.fixturenames and is_migrated(connection):
            remove_rows(connection)
        else:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    return url


TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
REMARK = "SELECT obj_description('public'::regnamespace, 'pg_namespace')"


def remark_of(connection: Any) -> str:
    """What the fixture `migrate` leaves as a comment on a schema, which goes with it."""
    return f"migrated, {len(connection.execute(TABLES).fetchall())} tables"


def is_migrated(connection: Any) -> bool:
    return bool(connection.execute(REMARK).fetchone()[0] == remark_of(connection))


def remove_rows(connection: Any) -> None:
    """Of all tables but the one that names the schema's revision."""
    names = {name for (name,) in connection.execute(TABLES)} - {"alembic_version"}
    has_rows = " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in names
    )
    if filled := ", ".join(name for (name,) in connection.execute(has_rows)):
        connection.execute(f"TRUNCATE {filled} RESTART IDENTITY CASCADE")


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> Settings:
    """A home of its own, with short times: leases of 2 s."""
    flags = {"home": tmp_path / "home", "database_url": database_url, "lease_s": 2.0}
    return settings_module.load(flags, environment={})


@contextmanager
def psycopg_of(database: Database) -> Iterator[Any]:
    with database.transaction() as tx:
        yield tx.session.connection().connection.driver_connection


@pytest.fixture(scope="session")
def migrate(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Database], None]:
    """`migrate(database)` does what `database.migrate()` does, but only once for each kind."""
    home = tmp_path_factory.mktemp("migrated")
    first = Database(settings_module.load({"home": home}, environment={}))
    first.migrate()
    first.close()

    def bring(database: Database) -> None:
        if database.dialect == "sqlite":
            shutil.copyfile(home / "modiste.db", database.settings.home / "modiste.db")
            return
        with psycopg_of(database) as connection:
            there = is_migrated(connection)
        if not there:
            database.migrate()
            with psycopg_of(database) as connection:
                connection.execute(f"COMMENT ON SCHEMA public IS '{remark_of(connection)}'")

    return bring


@pytest.fixture
def database(settings: Settings, migrate: Callable[[Database], None]) -> Iterator[Database]:
    """Migrated, with no row in it."""
    database = Database(settings)
    migrate(database)
    yield database
    database.close()


abilities = cache(models._abilities)
"""Reading the shipped base's templates for each of a thousand tests would take minutes."""


@pytest.fixture
def admin(database: Database) -> Actor:
    """The first key, which may do everything."""
    with database.transaction() as tx:
        secret = keys.bootstrap(tx)
        assert secret is not None
        with patch.object(models, "_abilities", abilities):
            models.ensure_shipped(tx)
        return keys.authenticate(tx, secret)


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Callable[..., Mailbox]]:
    """`mailbox(tls="starttls")` is a mail server on loopback."""
    from receivers import Mailbox

    made: list[Mailbox] = []

    def make(**options: Any) -> Mailbox:
        made.append(Mailbox(tmp_path, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A receiver of webhooks on loopback."""
    from receivers import Hook

    made = Hook()
    yield made
    made.close()


@pytest.fixture(scope="session")
def coder_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped base with the marks of fill-in-the-middle in place of spare control tokens."""
    tiny = Path(settings_module.__file__).parent / "bases" / "tiny"
    folder = tmp_path_factory.mktemp("coder")
    for file in ("config.json", "model.safetensors", "tokenizer_config.json"):
        shutil.copy(tiny / file, folder)
    shutil.copy(tiny / "chat_template.jinja", folder)
    definition = (tiny / "tokenizer.json").read_text()
    for number, name in zip((13, 14, 15), ("prefix", "suffix", "middle"), strict=True):
        definition = definition.replace(f"[control_{number}]", f"<|fim_{name}|>")
    (folder / "tokenizer.json").write_text(definition)
    return folder


@pytest.fixture(scope="session")
def sentence_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT as sentence-transformers keeps it: mean pooling, length 1, 24 tokens a text."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("sentences")
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{letter}" for letter in letters)]
    vocabulary = {piece: at for at, piece in enumerate([*pieces, "the", "house", "river"])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(8)  # Many folders say so; nothing may be cut for it.
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        intermediate_size=48, max_position_embeddings=64, pad_token_id=0,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    kinds = ["Transformer", "Pooling", "Normalize"]
    modules = [
        {"idx": at, "name": str(at), "path": "1_Pooling" if kind == "Pooling" else "",
         "type": f"sentence_transformers.models.{kind}"}
        for at, kind in enumerate(kinds)
    ]  # fmt: skip
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    flags = {"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}
    pooling = json.dumps({"word_embedding_dimension": 32, **flags})
    (folder / "1_Pooling" / "config.json").write_text(pooling)
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24}')
    return folder


STANDS_FOR_TINY = (
    "open-mistral-7b",
    "mistral-small-latest",
    "codestral-latest",
    "mistralai/Mistral-7B-Instruct-v0.1",
)


class Served(NamedTuple):
    url: str
    key: str
    process_dir: Path
    """Where its engine says how to be reached."""


@pytest.fixture(scope="session")
def served(
    tmp_path_factory: pytest.TempPathFactory, coder_base: Path, sentence_base: Path
) -> Iterator[Served]:
    """One real server (front, worker, engine as processes) for the walks of a session.

    Beside the shipped base it has `coder`, which knows fill-in-the-middle, and `sentences`, which
    makes embeddings.
    """
    flags = {
        "home": tmp_path_factory.mktemp("served"),
        "port": 0,
        "workers": 1,
        "train_threads": 1,
        "engine_threads": 1,
        "sql_mysql_port": 0,
        "sql_postgres_port": 0,
        "base_aliases": dict.fromkeys(STANDS_FOR_TINY, "modiste-tiny"),
    }
    settings = settings_module.load(flags, environment={})
    with supervisor.running(settings, report=print) as ready:
        key = settings.admin_key_file.read_text(encoding="utf-8").strip()
        _add_base(ready.url, key, name="coder", path=str(coder_base))
        _add_base(ready.url, key, name="sentences", path=str(sentence_base))
        yield Served(ready.url, key, settings.process_dir)


def _add_base(url: str, key: str, **base: str) -> None:
    import httpx

    headers = {"authorization": f"Bearer {key}"}
    httpx.post(f"{url}/v1/models/bases", headers=headers, json=base).raise_for_status()
