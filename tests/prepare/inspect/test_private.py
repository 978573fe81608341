"""Personal data: validated before it is named, masked when it is."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.inspect.private import ibans, inspect, luhn
from modiste.prepare.inspect.remark import Passage, Remark
from modiste.types import Role


def remarks(text: str) -> list[Remark]:
    return list(inspect([Passage("messages[0].content", text, Role.USER, False)]))


def codes(text: str) -> list[str]:
    return [remark.code for remark in remarks(text)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Write to jane.doe@acme-tools.com today.", "pii_email"),
        ("JANE+x@sub.acme.co.uk", "pii_email"),
        ("mail me (j.o'neil@acme.ie)", "pii_email"),
        ("user@example.com", "pii_email_placeholder"),
        ("john@yourdomain.com", "pii_email_placeholder"),
        ("Call +33 6 12 34 56 78 now", "pii_phone"),
        ("+49 30 123456", "pii_phone"),
        ("Reach me at (650) 253-0000.", "pii_phone"),
        ("650.253.0000", "pii_phone"),
        ("06 12 34 56 78", "pii_phone"),
        ("telefon 030 12345678", "pii_phone"),
        ("My number is 0612345678", "pii_phone"),
        ("(555) 123-4567", "pii_phone_placeholder"),
        ("+1 415 555 0132", "pii_phone_placeholder"),
        ("card 4111 1111 1111 1111, exp 12/27", "pii_card"),
        ("5500000000000004", "pii_card"),
        ("3400-000000-00009", "pii_card"),
        ("IBAN DE89 3704 0044 0532 0130 00", "pii_iban"),
        ("GB29NWBK60161331926819", "pii_iban"),
        ("FR14 2004 1010 0505 0001 3M02 606 please", "pii_iban"),
        ("SSN 536-90-4399", "pii_national_id"),
    ],
)
def test_what_is_private_is_found(text: str, code: str) -> None:
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "text",
    [
        "@jack and @jill",
        "logo@2x.png",
        "git@github.com:org/repo.git",
        "mail support@acme.com or noreply@acme.com",
        "mongodb+srv://admin:hunter2pass@cluster0.mongodb.net",
        "react@18.2.0 and user@host",
        "Call 1-800-555-1212 or 1-888-463-6332",
        "It cost 1,234,567,890 dollars in 2019-2020.",
        "ISBN 978-3-16-148410-0",
        "4111 1111 1111 1112",
        "order 1234567890123456",
        "0.4111111111111111",
        "DE89 3704 0044 0532 0130 01",
        "123-456-7890",
        "000-12-3456 and 900-12-3456",
        "2024-01-15 10:30:00",
        "pi is 3.14159265358979323846",
        "192.168.100.200",
        "SELECT * FROM t WHERE id = 5500000000000004123",
    ],
)
def test_what_only_looks_private_is_not(text: str) -> None:
    assert codes(text) == []


def test_a_find_is_masked_and_counted() -> None:
    (remark,) = remarks("jane.doe@acme.com, joe.bloggs@acme.com and ann@acme.com")
    assert remark.value == "jane…om"
    assert remark.message == "messages[0].content holds an e-mail address: jane…om and 2 more"
    assert "doe" not in str(remark)


def test_a_card_is_not_called_a_phone_as_well() -> None:
    assert codes("phone 4111-1111-1111-1111") == ["pii_card"]


def test_several_kinds_in_one_text_are_each_named() -> None:
    text = "jane@acme.com, +33 6 12 34 56 78, DE89370400440532013000"
    assert sorted(codes(text)) == ["pii_email", "pii_iban", "pii_phone"]


def test_luhn_knows_the_reference_numbers() -> None:
    # Numbers of ISO/IEC 7812-1 and of card issuers' test pages.
    assert luhn("79927398713")
    assert luhn("378282246310005")
    assert not luhn("79927398710")


@given(st.from_regex(r"[0-9]{6,18}", fullmatch=True))
def test_exactly_one_check_digit_makes_a_number_valid(number: str) -> None:
    assert sum(luhn(number + check) for check in "0123456789") == 1


@given(st.from_regex(r"[0-9]{18}", fullmatch=True))
def test_exactly_one_pair_of_check_digits_makes_an_iban(account: str) -> None:
    # Check digits are 02 to 98 (ISO 13616), so no two of them are equal modulo 97.
    found = [check for check in range(2, 99) if list(ibans(f"DE{check:02}{account}"))]
    assert len(found) == 1


@settings(max_examples=200)
@given(st.text(alphabet="0123456789 .-+()@/aA,:é\n", max_size=80))
def test_any_text_is_inspected_without_a_traceback_or_a_leak(text: str) -> None:
    for remark in remarks(text):
        assert remark.value is not None
        assert len(remark.value) <= 7
