"""Fetching a base from the Hugging Face hub: weights as safetensors, tokenizer, configuration.

Nothing that could run code is fetched: no pickles, no Python files.
"""

from __future__ import annotations

import re
from pathlib import Path

from modiste.errors import InvalidInput, StorageFull, Unavailable

WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "params.json",
    "tekken.json",
    "tokenizer*",
    "special_tokens_map.json",
    "chat_template*",
    "modules.json",
    "*_Pooling/config.json",
    "sentence_bert_config.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "LICENSE*",
    "README.md",
)


def download(repository: str, *, into: Path) -> Path:
    """The folder of a downloaded base; resumes where an earlier try was cut off.

    Raises:
        InvalidInput: not a repository name, unknown, or access is not granted.
        Unavailable: huggingface_hub is not installed, or the hub does not answer.
        StorageFull: no room in `into`.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repository, re.ASCII):
        raise InvalidInput(f"hub:{repository} is not of the form hub:org/name.", param="path")
    try:
        import huggingface_hub as hub
        from huggingface_hub import errors
    except ImportError:
        raise Unavailable(
            "Fetching from the hub needs the package huggingface_hub: install "
            "`pip install 'modiste[local]'`, or give a local folder with --path DIR."
        ) from None
    target = into / repository.replace("/", "--")
    try:
        hub.snapshot_download(repository, local_dir=target, allow_patterns=list(WANTED))
    except (
        errors.RepositoryNotFoundError,
        errors.GatedRepoError,
        errors.RevisionNotFoundError,
    ) as e:
        raise InvalidInput(
            f"hub:{repository} cannot be fetched: {_first_line(e)} Check the name; for a gated "
            "model accept its licence on huggingface.co and set HF_TOKEN.",
            param="path",
        ) from e
    except OSError as error:
        if error.errno == 28:
            raise StorageFull(
                f"No space left under {into} for hub:{repository}. Free some space and run the "
                "same command again; it continues where it stopped."
            ) from error
        raise _offline(repository, error) from error
    except (errors.LocalEntryNotFoundError, errors.HfHubHTTPError) as error:
        raise _offline(repository, error) from error
    return target


def _offline(repository: str, error: Exception) -> Unavailable:
    return Unavailable(
        f"The hub does not answer for hub:{repository}: {_first_line(error)} Check the network "
        "(HF_ENDPOINT, HF_HUB_OFFLINE, proxies) and run the same command again, or copy the "
        "model's folder here and give --path DIR."
    )


def _first_line(error: Exception) -> str:
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if line.endswith(".") else line + "."
