"""Secrets in text: keys of known services by their form, others by the name they are assigned to.

A known key is named by its service. Anything else must be assigned to a name such as `password`
or `api_key` and look random: placeholders (`YOUR_API_KEY`, `changeme`, `${TOKEN}`) stay silent.
What is found is masked; it must be revoked, for a model can repeat it.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from math import log2
from typing import NamedTuple

from modiste.prepare.inspect.remark import Passage, Remark, mask

HINT = "revoke it and take it out: a model can repeat what it was trained on"


class Key(NamedTuple):
    code: str
    noun: str
    start: str
    """What every such key holds: looked for first, because it is fast."""
    pattern: re.Pattern[str]


_END = r"(?![A-Za-z0-9_-])"


def _key(code: str, noun: str, starts: str, pattern: str) -> list[Key]:
    whole = re.compile(rf"(?<![A-Za-z0-9_]){pattern}")
    return [Key(code, noun, start, whole) for start in starts.split()]


KEYS: tuple[Key, ...] = (
    *_key("secret_aws_key", "an AWS access key", "AKIA ASIA", rf"A[KS]IA[A-Z2-7]{{16}}{_END}"),
    *_key("secret_github_token", "a GitHub token", "github_pat_", r"github_pat_\w{60,90}"),
    *_key("secret_github_token", "a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_", r"gh._\w{36,255}"),
    *_key("secret_gitlab_token", "a GitLab token", "glpat-", r"glpat-[\w-]{20,50}"),
    *_key("secret_anthropic_key", "an Anthropic key", "sk-ant-", r"sk-ant-[\w-]{20,200}"),
    *_key("secret_openai_key", "an OpenAI-style key", "sk-", r"sk-[\w-]{20,200}"),
    *_key("secret_slack_token", "a Slack token", "xox", r"xox[abeoprs]-[A-Za-z0-9-]{10,200}"),
    *_key(
        "secret_slack_webhook",
        "a Slack webhook",
        "hooks.slack.com/services/",
        r"hooks\.slack\.com/services/T\w{6,12}/B\w{6,12}/\w{20,30}",
    ),
    *_key("secret_google_key", "a Google API key", "AIza", rf"AIza[\w-]{{35}}{_END}"),
    *_key(
        "secret_stripe_key", "a Stripe key", "k_live_ k_test_", r"[rs]k_(?:live|test)_\w{16,120}"
    ),
    *_key("secret_huggingface_token", "a Hugging Face token", "hf_", r"hf_[A-Za-z0-9]{30,40}"),
    *_key("secret_npm_token", "an npm token", "npm_", rf"npm_\w{{36}}{_END}"),
    *_key("secret_pypi_token", "a PyPI token", "pypi-AgEI", r"pypi-AgEI[\w-]{50,250}"),
    *_key("secret_sendgrid_key", "a SendGrid key", "SG.", r"SG\.[\w-]{16,32}\.[\w-]{16,64}"),
    *_key("secret_modiste_key", "a Modiste key", "mod_", rf"mod_[\w-]{{43}}{_END}"),
)
_KEYS_OF = ("api", "access", "auth", "secret", "private", "account", "signing")
"""Before `key`; other keys are of maps, pianos and tables."""
_JWT = re.compile(r"(?<!\w)(eyJ[\w-]{8,2000})\.eyJ[\w-]{8,8000}\.[\w-]{16,1000}")
_PEM = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[A-Za-z0-9+/=:,\s\\-]*"
)
_URL_PASSWORD = re.compile(
    r"[a-z][a-z0-9+.-]{1,20}://[^\s:/@<>\"'{}$]{1,64}:([^\s:/@<>\"'{}$]{6,128})@[\w.-]+"
)
SIGNS = (
    *dict.fromkeys(key.start.lower() for key in KEYS), "eyj", "-----begin",
    "passw", "secret", "token", "pwd",
    *(f"{whose}{gap}key" for whose in _KEYS_OF for gap in ("", " ", "_", "-")),
)  # fmt: skip
"""What every row with a secret holds in small letters, those with a password in a URL aside."""
_NAMES = ("passw", "secret", "token", "pwd", "key")
_VALUE = re.compile(
    r"[A-Za-z0-9_-]{3,40}[\"'`\])]*\s{0,3}(?::=|=>|[:=]|\bis\b)\s{0,3}(?:[Bb]earer\s+)?[\"'`]?"
    r"([^\s\"'`,;<>(){}\[\]]{6,200})"
)
_OF_A_SECRET = re.compile(rf"(?i)(?:{'|'.join(_KEYS_OF)})[ _-]?\Z")
_PLACEHOLDER = re.compile(
    r"(?i)^[$%{<]|^<?(?:your|my|the|some|test|example|dummy|sample|insert|enter|put|fake)[_-]?\B"
    r"|your[_-]|placeholder|change[_-]?(?:me|this)|redacted|x{4,}|\*{3,}|\.{3}|^process\b"
    r"|(?:env|getenv|config|settings)\b|^(?:password|secret|token|key|passwd|pass)[_-]?\d{0,4}\W?$"
)


def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
    row = "\n".join([passage.text for passage in passages])
    long_word = _LONG in row.encode("utf-8", "replace").translate(_SHAPE)
    link = "://" in row and "@" in row
    lower = row.lower()
    named = (
        "key" in lower or "token" in lower or "passw" in lower or "secret" in lower
        or "pwd" in lower
    )  # fmt: skip
    if not (long_word or link or named):
        return
    for path, text, _, _ in passages:
        seen: set[str] = set()
        for code, noun, found in secrets(text, long_word=long_word, link=link, named=named):
            if code not in seen:
                seen.add(code)
                shown = mask(found)
                yield Remark(path, code, f"{path} holds {noun}: {shown}", shown, HINT)


_LONG = b"x" * 20
_SHAPE = bytes(
    ord("x") if (b < 128 and chr(b).isalnum()) or b in b"_-" else ord(" ") for b in range(256)
)
"""Words as x, so that one look finds a long one."""


class Secret(NamedTuple):
    code: str
    noun: str
    text: str


def secrets(
    text: str, *, long_word: bool = True, link: bool = True, named: bool = True
) -> Iterator[Secret]:
    """All secrets of a text, whole. The flags leave out what is known not to be there."""
    taken: list[str] = []
    if long_word:
        for secret in _known(text):
            if not any(secret.text in other for other in taken):
                taken.append(secret.text)
                yield secret
    if link:
        for match in _URL_PASSWORD.finditer(text):
            if not _PLACEHOLDER.search(match[1]):
                yield Secret("secret_in_url", "a URL with a password", match[1])
    if named:
        for value in _assigned(text):
            if looks_random(value) and not any(value in one for one in taken):
                yield Secret("secret_assigned", "what looks like a secret behind its name", value)


def _known(text: str) -> Iterator[Secret]:
    for code, noun, start, pattern in KEYS:
        if start not in text:
            continue
        for match in pattern.finditer(text):
            # Rows of x are placeholders; sk-learn-pipelines-explained is a link.
            dull = entropy(match[0]) < 3.0
            if not dull and (code != "secret_openai_key" or _mixed(match[0])):
                yield Secret(code, noun, match[0])
    if "eyJ" in text:
        for match in _JWT.finditer(text):
            if _is_jwt_header(match[1]):
                yield Secret("secret_jwt", "a signed token (JWT)", match[0])
    if "-----BEGIN" in text:
        for match in _PEM.finditer(text):
            yield Secret("secret_private_key", "a private key (PEM)", match[0])


def _assigned(text: str) -> Iterator[str]:
    """Values given to names of secrets: `password=…`, `"api_key": "…"`, `the token is …`."""
    lower = text.lower()
    for name in _NAMES:
        at = lower.find(name)
        while at >= 0:
            secret = name != "key" or _OF_A_SECRET.search(text, max(0, at - 10), at)
            if secret and (match := _VALUE.match(text, at)):
                value = match[1].rstrip(".?:")
                if len(value) >= (6 if name in ("passw", "pwd") else 10):
                    yield value
            at = lower.find(name, at + len(name))


def _mixed(text: str) -> bool:
    n_digits = sum(c.isdigit() for c in text)
    return n_digits >= 4 or (n_digits > 0 and any(c.isupper() for c in text))


def _is_jwt_header(part: str) -> bool:
    try:
        header = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except ValueError:
        return False
    return isinstance(header, dict) and "alg" in header


def looks_random(text: str) -> bool:
    """Letters and digits mixed, no placeholder, and more than three bits a character."""
    if _PLACEHOLDER.search(text):
        return False
    if not any(c.isdigit() for c in text) or not any(c.isalpha() for c in text):
        return False
    # Code and paths: `get_token2()`, `auth/v2/token`, `user.name1`.
    if re.fullmatch(r"[A-Za-z_]+\d{0,2}(?:[./_-][A-Za-z_]+\d{0,2})*", text):
        return False
    return entropy(text) > min(2.9, log2(len(text)) - 0.5)


def entropy(text: str) -> float:
    """Bits per character, from the characters' own frequencies."""
    counts, n = Counter(text), len(text)
    return -sum(count / n * log2(count / n) for count in counts.values())
