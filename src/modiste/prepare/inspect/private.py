"""Personal data in text: e-mail addresses, phone numbers, cards, bank accounts, national ids.

Each kind is validated before it is named (numbering plans, Luhn, mod 97, check digits), so that
digits which only look alike stay silent. Not named are the mailboxes of roles (`support@`),
numbers that anybody may call for free, and IP addresses. Addresses and numbers that are reserved
for examples have a code of their own: nobody's, but a model will give them to people.

One remark per text and kind, with the first find masked and the number of all. Cheap looks at the
whole row come first: most rows hold neither an `@` nor nine digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType

from modiste.prepare.inspect.national_ids import national_ids
from modiste.prepare.inspect.remark import Passage, Remark, mask

HINT = "remove or replace it unless the model is meant to know and repeat it"
MADE_UP_HINT = "replace it: a model repeats such contacts to people who then use them"


class Kind(NamedTuple):
    code: str
    noun: str
    hint: str = HINT


EMAIL = Kind("pii_email", "an e-mail address")
EMAIL_MADE_UP = Kind("pii_email_placeholder", "a made-up e-mail address", MADE_UP_HINT)
PHONE = Kind("pii_phone", "a phone number")
PHONE_MADE_UP = Kind("pii_phone_placeholder", "a made-up phone number", MADE_UP_HINT)
CARD = Kind("pii_card", "a payment card number (Luhn digit right)")
IBAN = Kind("pii_iban", "a bank account (IBAN, check digits right)")


class Find(NamedTuple):
    kind: Kind
    text: str
    start: int


def inspect(passages: Sequence[Passage]) -> Iterator[Remark]:
    row = "\n".join([passage.text for passage in passages])
    has_at = "@" in row
    shape = row.encode("utf-8", "replace").translate(_SHAPE, _SEPARATORS)
    has_digits, has_id = _DIGITS in shape, _holds_id(shape)
    if not (has_at or has_id):
        return
    for path, text, _, _ in passages:
        finds: list[Find] = []
        if has_at:
            finds += emails(text)
        if has_digits:
            finds += [*cards(text), *ibans(text)]
        if has_id:
            finds += [
                Find(Kind("pii_national_id", f"a national id ({name})"), found, start)
                for name, found, start in national_ids(text)
            ]
        if has_digits:
            finds += phones(text)
        yield from _remarks(path, finds)


_SEPARATORS = b" -.()/"
_SHAPE = bytes(
    ord("0") if chr(b).isdigit() and b < 128 else ord("A") if 65 <= b <= 90 else min(b, 127)
    for b in range(256)
)
"""Digits as 0, capitals as A, without what people write between them: one look finds any number."""


_DIGITS = b"000000000"


def has_number(row: bytes) -> bool:
    """Whether texts hold what could be a number of a person, a card or an account."""
    return _holds_id(row.translate(_SHAPE, _SEPARATORS))


def _holds_id(shape: bytes) -> bool:
    return _DIGITS in shape or b"00000000A" in shape or b"AAAAAA00A00A000A" in shape


def _remarks(path: str, finds: list[Find]) -> Iterator[Remark]:
    """One for each kind; of overlapping finds the first given counts (a card is no phone)."""
    taken: list[tuple[int, int]] = []
    by_code: dict[str, list[Find]] = {}
    for find in finds:
        end = find.start + len(find.text)
        if any(find.start < other_end and start < end for start, other_end in taken):
            continue
        taken.append((find.start, end))
        by_code.setdefault(find.kind.code, []).append(find)
    for code, same in by_code.items():
        first, shown = same[0].kind, mask(same[0].text)
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        said = f"{path} holds {first.noun}: {shown}{more}"
        yield Remark(path, code, said, shown, first.hint)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LOCAL = re.compile(r"[A-Za-z0-9_+&](?:[A-Za-z0-9._%+&'-]{0,62}[A-Za-z0-9_+&-])?\Z")
_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
_NO_TLD = _words("png jpg jpeg gif svg webp css js ts py json html htm md txt pdf")
_ROLES = _words(
    "abuse accounts admin billing contact customerservice desk editor enquiries feedback git hello "
    "help helpdesk hostmaster hr info information inquiries jobs kontakt legal list mail marketing "
    "media newsletter noreply no-reply office postmaster press privacy root sales security service "
    "services subscribe support team unsubscribe web webmaster welcome"
)
_RESERVED = re.compile(
    r"(?:^|\.)(?:example\.(?:com|org|net|edu)|example|test|invalid|localhost"
    r"|(?:your|my)?(?:domain|company|organization|email)\.(?:com|org|net))\Z"
)


def emails(text: str) -> Iterator[Find]:
    at = text.find("@")
    while at >= 0:
        local = _LOCAL.search(text, max(0, at - 64), at)
        domain = _DOMAIN.match(text, at + 1, at + 256)
        # In `scheme://user:password@host` stands no address but a password, told as such.
        before = text[max(0, at - 80) : local.start()] if local else ""
        in_url = before.endswith(":") and "://" in before
        if local and domain and not in_url and domain[0].rpartition(".")[2].lower() not in _NO_TLD:
            name = local[0].lower()
            if _RESERVED.search(domain[0].lower()):
                yield Find(EMAIL_MADE_UP, f"{local[0]}@{domain[0]}", local.start())
            elif name not in _ROLES and not name.startswith(("noreply", "no-reply")):
                yield Find(EMAIL, f"{local[0]}@{domain[0]}", local.start())
        at = text.find("@", at + 1)


_CARD = re.compile(
    r"(?<![\d.,/_-])(?<!\d )(?:"
    r"\d{4}(?:[ -]?)\d{4}(?:[ -]?)\d{4}(?:[ -]?)\d{4}(?:\d{3})?"
    r"|3[47]\d\d[ -]?\d{6}[ -]?\d{5}|3[068]\d\d[ -]?\d{6}[ -]?\d{4}|4\d{12}"
    r")(?![\d_]|[ ,.-]\d)"
)
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})\Z|5[1-5]\d{14}\Z|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}\Z"
    r"|3[47]\d{13}\Z|6(?:011|4[4-9]\d|5\d\d)\d{12}\Z|35(?:2[89]|[3-8]\d)\d{12}\Z"
    r"|3(?:0[0-5]|[68]\d)\d{11}\Z"
)


def cards(text: str) -> Iterator[Find]:
    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUERS.match(digits) and luhn(digits) and len(set(digits)) > 1:
            yield Find(CARD, match[0], match.start())


def luhn(digits: str) -> bool:
    doubled = [sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2]]
    return (sum(map(int, digits[-1::-2])) + sum(doubled)) % 10 == 0


_IBAN = re.compile(
    r"(?<![A-Za-z0-9])[A-Z]{2}\d\d(?:[ -]?[A-Z0-9]{4}){2,7}(?:[ -]?[A-Z0-9]{1,3})?\b"
)
_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        ("15", "NO"), ("16", "BE"), ("18", "DK FO FI GL NL"), ("19", "MK SI"),
        ("20", "AT BA EE KZ LT LU XK"), ("21", "CH HR LI LV"),
        ("22", "BG BH CR DE GB GE IE ME RS VA"), ("23", "AE GI IL IQ TL"),
        ("24", "AD CZ ES MD PK RO SA SE SK TN VG"), ("25", "LY PT ST"), ("26", "IS TR"),
        ("27", "FR GR IT MC MR SM"), ("28", "AL AZ BY CY DO GT HU LB NI PL SV"),
        ("29", "BR EG PS QA UA"), ("30", "JO KW MU"), ("31", "MT SC"), ("32", "LC"), ("33", "RU"),
    )
    for country in countries.split()
}  # fmt: skip


def ibans(text: str) -> Iterator[Find]:
    for match in _IBAN.finditer(text):
        compact = re.sub(r"[ -]", "", match[0])
        length = _IBAN_LENGTHS.get(compact[:2], 0)
        # Words after the number may look like one more group: its country says where it ends.
        if length and len(compact) >= length and mod97(compact[:length]):
            yield Find(
                IBAN, match[0] if len(compact) == length else compact[:length], match.start()
            )


def mod97(iban: str) -> bool:
    number = "".join(str(int(letter, 36)) for letter in iban[4:] + iban[:4])
    return int(number) % 97 == 1


_PHONE = re.compile(r"(?<![\w.,/$€£¥%#=+-])(?:\+|\(|\b)[\d][\d ().\-/\u00a0]{7,20}\d(?![\w%€])")
_NORTH_AMERICA = re.compile(r"(?:1[-. ])?(?:\(\d{3}\) ?|\d{3}([-. ]))\d{3}(?(1)\1|[-. ])\d{4}\Z")
_FRENCH = re.compile(r"0[1-79](?:([ .-])\d\d)(?:\1\d\d){3}\Z")
_BRITISH = re.compile(r"0(?:7\d{3} ?\d{6}|7\d{3} \d{3} \d{3}|20 \d{4} \d{4}|1\d{3} \d{6})\Z")
_NEAR_WORD = re.compile(
    r"(?i)(?:phone|\btel\b|call|mobile|cell|whatsapp|text me|\bfax|my (?:\w+ )?number"
    r"|t[ée]l[ée]phone|\bt[ée]l\b|telefon|handy\b|mobil|tel[ée]fono|m[óo]vil|telefone|celular"
    r"|cellulare|numero|nummer)"
)
_REGIONS = ("US", "GB", "FR", "DE", "ES", "IT", "NL", "IN", "AU", "BR")
"""Tried for national numbers that stand behind a word for phone."""
_MADE_UP = re.compile(r"\D*1?\D*(?:555\D*\d{3}\D*\d{4}|\d{3}\D*555\D*01\d\d)\Z")
"""North America keeps 555-0100 to 555-0199 for fiction, and has no area code 555."""
_FOR_ALL = frozenset(
    {
        PhoneNumberType.TOLL_FREE,
        PhoneNumberType.PREMIUM_RATE,
        PhoneNumberType.SHARED_COST,
        PhoneNumberType.UAN,
        PhoneNumberType.VOICEMAIL,
    }
)


def phones(text: str) -> Iterator[Find]:
    for match in _PHONE.finditer(text):
        found = match[0]
        kind = _phone_kind(
            found, bool(_NEAR_WORD.search(text, max(0, match.start() - 30), match.start()))
        )
        if kind:
            yield Find(kind, found, match.start())


def _phone_kind(found: str, announced: bool) -> Kind | None:
    if found.startswith("+"):
        return _valid(found, None)
    if _NORTH_AMERICA.match(found):
        return _valid(found, "US")
    if _FRENCH.match(found):
        return _valid(found, "FR")
    if _BRITISH.match(found):
        return _valid(found, "GB")
    if announced and 9 <= sum(c.isdigit() for c in found) <= 12:
        return next((kind for region in _REGIONS if (kind := _valid(found, region))), None)
    return None


def _valid(found: str, region: str | None) -> Kind | None:
    """None for what no numbering plan holds, and for numbers that are no person's."""
    try:
        number = phonenumbers.parse(found, region)
    except phonenumbers.NumberParseException:
        return None
    if number.country_code == 1 and _MADE_UP.match(found):
        return PHONE_MADE_UP
    if not phonenumbers.is_valid_number(number):
        return None
    return None if phonenumbers.number_type(number) in _FOR_ALL else PHONE
