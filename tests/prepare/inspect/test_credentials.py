"""Keys and passwords. None below is one: they are put together here so that no scanner minds."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.inspect.credentials import entropy, inspect, looks_random
from modiste.prepare.inspect.remark import Passage, Remark
from modiste.types import Role

RANDOM = "x7Kp2mQ9vL4tR8wZ1nB6cY3dF5gH0jS7aU2e"
HEX = "3f9a1c7e5b2d8046af13c9e7b5d2084f"


def remarks(text: str) -> list[Remark]:
    return list(inspect([Passage("messages[1].content", text, Role.ASSISTANT, True)]))


def jwt() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': '1234567890'})}.{RANDOM}"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("id AK" + "IA3Q7ZP2MXKW5RTB6N.", "secret_aws_key"),
        ("use gh" + "p_" + RANDOM, "secret_github_token"),
        ("github" + "_pat_" + RANDOM + RANDOM, "secret_github_token"),
        ("gl" + "pat-" + RANDOM[:20], "secret_gitlab_token"),
        ("sk" + "-ant-api03-" + RANDOM, "secret_anthropic_key"),
        ("sk" + "-" + RANDOM, "secret_openai_key"),
        ("sk" + "-proj-" + RANDOM, "secret_openai_key"),
        ("xox" + "b-123456789012-" + RANDOM[:24], "secret_slack_token"),
        ("AI" + "za" + RANDOM[:35], "secret_google_key"),
        ("sk" + "_live_" + RANDOM[:24], "secret_stripe_key"),
        ("hf" + "_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZaBcDeFgH", "secret_huggingface_token"),
        ("Bearer " + jwt(), "secret_jwt"),
        (
            "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA" + RANDOM + "\n",
            "secret_private_key",
        ),
        ("postgres://app:" + RANDOM[:12] + "@db.internal/x", "secret_in_url"),
        ("MISTRAL_API_KEY=" + HEX, "secret_assigned"),
        ('{"api_key": "' + HEX + '"}', "secret_assigned"),
        ("password=Super" + "Secret123!", "secret_assigned"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/" + "K7MDENG/bPxRfiCYEXAMPLEKEY", "secret_assigned"),
        ("password: hK7" + "!pQ2z#Lm9", "secret_assigned"),
        ("Your password is q8Z" + "kP3vTx1", "secret_assigned"),
        ("aws_secret_access_key = " + RANDOM + "/+k4", "secret_assigned"),
        ("mod" + "_" + RANDOM + "abcdef1", "secret_modiste_key"),
    ],
)
def test_a_secret_is_found_once_and_masked(text: str, code: str) -> None:
    (remark,) = remarks(text)
    assert remark.code == code
    assert remark.value is not None
    assert len(remark.value) <= 7
    assert RANDOM[6:12] not in str(remark)


@pytest.mark.parametrize(
    "text",
    [
        "Set OPENAI_API_KEY=your_api_key_here",
        "api_key = os.environ['API_KEY']",
        "password: changeme123",
        "password: password123!",
        "your password is field1 or field2",
        "api_key='sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxx'",
        "token: ${GITHUB_TOKEN}",
        "ghp_" + "x" * 36,
        "see /docs/sk-learn-pipelines-explained-in-detail for more",
        "the secret is patience, and the key is practice",
        "The token: predictions are made for each position",
        "password = getpass.getpass('Password: ')",
        "secret_key: str = Field(min_length=16)",
        "primary key: column_name_2",
        "https://example.org/a-very-long-path_with_words-and-more-words",
        "postgres://user:password@localhost/db",
        "commit 3f9a1c7e5b2d8046af13c9e7b5d2084f3f9a1c7e",
        "eyJhbGciOi but nothing signed",
        "AKIA is a prefix, ASIAN FOOD MARKETPLACE too",
        "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A",
    ],
)
def test_placeholders_code_and_words_are_no_secrets(text: str) -> None:
    assert [remark.code for remark in remarks(text)] == []


def test_a_known_key_is_not_told_twice_when_it_is_assigned() -> None:
    assert len(remarks("GITHUB_TOKEN=gh" + "p_" + RANDOM)) == 1


def test_entropy_is_bits_per_character() -> None:
    assert entropy("aaaa") == 0
    assert entropy("abcd") == 2


@given(st.text(alphabet=st.characters(categories=["Ll"]), max_size=40))
def test_words_alone_never_look_random(text: str) -> None:
    assert not looks_random(text)


@settings(max_examples=200)
@given(st.text(alphabet="sk-ghp_AKIAeyJ.://@=password: 019zZ\n\"'", max_size=120))
def test_any_text_is_inspected_without_a_traceback_or_a_leak(text: str) -> None:
    for remark in remarks(text):
        assert remark.value is not None
        assert len(remark.value) <= 7
