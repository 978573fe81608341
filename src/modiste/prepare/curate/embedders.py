"""Texts to vectors: any endpoint that speaks OpenAI's `/v1/embeddings`, or a callable.

What goes over the network is what the user named and nothing else; the key is read from the
environment and appears in no message. Busy endpoints are asked again with growing pauses, an answer
that is not one finite vector for each text is refused.
"""

from __future__ import annotations

import base64
import os
import random
import time
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from modiste.errors import InvalidInput, Unavailable
from modiste.prepare.curate.stage import Settings

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]
"""Some texts to as many rows of numbers."""

MAX_TRIES = 6
LONGEST_PAUSE_S = 30.0
_RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504})


class Embeddings(Settings):
    """Where vectors come from: an endpoint and the model it should use, or a base on this machine.

    A base's own last states, averaged, are a coarse measure; a model made for embeddings is better.
    """

    url: str | None = None
    """Such as `http://127.0.0.1:8000/v1`; `/embeddings` is added where it is missing."""
    model: str | None = None
    base: str | None = None
    """Name or folder of an installed base model."""
    key_env: str = "MODISTE_EMBEDDINGS_KEY"
    """Environment variable with the endpoint's key; sent only if it is set."""
    batch: int = Field(default=64, ge=1, le=2048)
    """Texts in one request."""
    timeout_s: float = Field(default=60, gt=0, allow_inf_nan=False)

    @field_validator("url")
    @classmethod
    def _is_endpoint(cls, url: str | None) -> str | None:
        return None if url is None else endpoint(url)

    @model_validator(mode="after")
    def _one_place(self) -> Embeddings:
        if (self.url is None) == (self.base is None):
            raise ValueError("give exactly one of url (with model) and base")
        if self.url is not None and not self.model:
            raise ValueError("name the model that the endpoint should use")
        return self


class Meaning(Embeddings):
    """Settings of the pass over meanings."""

    threshold: float = Field(default=0.9, gt=0, le=1)
    """Cosine of two questions, and of their answers, from which they mean the same. Models differ:
    look at the report's borderline pairs."""


def endpoint(url: str) -> str:
    """The address that is posted to.

    Raises:
        ValueError: not http or https, no host, or with a key in it.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("expected a URL such as http://127.0.0.1:8000/v1")
    if parts.username or parts.password:
        raise ValueError("leave user and password out of the URL; keys come from key_env")
    if parts.query or parts.fragment:
        raise ValueError("leave everything from ? or # on out of the URL")
    path = parts.path.rstrip("/")
    return f"{parts.scheme}://{parts.netloc}{path.removesuffix('/embeddings')}/embeddings"


class EndpointEmbedder:
    """Calls an endpoint. Use as `Embed`.

    Args:
        transport: for tests; None is the network.
        sleep: how pauses are made.
    """

    def __init__(
        self,
        settings: Embeddings,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        key = os.environ.get(settings.key_env)
        self._settings = settings
        self._sleep = sleep
        self._client = httpx.Client(
            transport=transport,
            timeout=settings.timeout_s,
            headers={"authorization": f"Bearer {key}"} if key else {},
            follow_redirects=False,
        )

    def __call__(self, texts: Sequence[str]) -> Vectors:
        """
        Raises:
            InvalidInput: the endpoint refuses, or answers with something else than vectors.
            Unavailable: it cannot be reached, or stays busy through all tries.
        """
        size = self._settings.batch
        parts = [self._batch(texts[i : i + size]) for i in range(0, len(texts), size)]
        if len({part.shape[1] for part in parts}) > 1:
            raise self._wrong("vectors of several lengths")
        return np.concatenate(parts) if parts else np.zeros((0, 1), dtype=np.float32)

    def _batch(self, texts: Sequence[str]) -> Vectors:
        # Endpoints refuse an empty string; a blank means as much.
        body = {"model": self._settings.model, "input": [text or " " for text in texts]}
        response = self._post({**body, "encoding_format": "float"})
        try:
            items = sorted(response.json()["data"], key=lambda item: item["index"])
            rows = [_vector(item["embedding"]) for item in items]
            if [item["index"] for item in items] != list(range(len(texts))):
                raise self._wrong(f"{len(items)} vectors for {len(texts)} texts")
            vectors = np.stack(rows)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise self._wrong(f"not a list of embeddings ({type(error).__name__})") from None
        if vectors.ndim != 2 or not vectors.shape[1] or not np.isfinite(vectors).all():
            raise self._wrong("vectors that are empty or not finite")
        return vectors

    def _post(self, body: dict[str, Any]) -> httpx.Response:
        url, said = str(self._settings.url), "no answer"
        for attempt in range(MAX_TRIES):
            pause = random.uniform(0, min(LONGEST_PAUSE_S, 2.0**attempt))  # noqa: S311
            try:
                response = self._client.post(url, json=body)
            except httpx.TransportError as error:
                said = f"{type(error).__name__}: {error}"
            else:
                if response.is_success:
                    return response
                said = f"status {response.status_code}: {response.text[:300]}"
                if response.status_code not in _RETRIED:
                    raise InvalidInput(f"{url} refuses to embed: {said}")
                pause = max(pause, _retry_after(response))
            if attempt + 1 < MAX_TRIES:
                self._sleep(pause)
        raise Unavailable(f"{url} gave no embeddings in {MAX_TRIES} tries; at last {said}")

    def _wrong(self, what: str) -> InvalidInput:
        return InvalidInput(
            f"{self._settings.url} answered with {what}; is this an endpoint for embeddings, and "
            f"{self._settings.model!r} a model for them?"
        )


def embedder(settings: Embeddings, local: Callable[[str], Embed] | None = None) -> Embed:
    """What the settings ask for.

    Args:
        local: makes an embedder of an installed base; None where none can be loaded.
    """
    if settings.base is None:
        return EndpointEmbedder(settings)
    if local is None:
        raise InvalidInput(
            f"embeddings of the base {settings.base} cannot be computed here; name a url and a "
            "model, or run the stage with `modiste data`"
        )
    return local(settings.base)


def _vector(value: Any) -> Vectors:
    if isinstance(value, str):
        return np.frombuffer(base64.b64decode(value, validate=True), dtype="<f4")
    return np.asarray(value, dtype=np.float32)


def _retry_after(response: httpx.Response) -> float:
    try:
        return min(LONGEST_PAUSE_S, float(response.headers.get("retry-after", 0)))
    except ValueError:
        return 0.0
