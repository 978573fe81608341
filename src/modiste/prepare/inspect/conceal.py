"""Text with everything private in it masked, for whatever has to be shown."""

from __future__ import annotations

from modiste.prepare.inspect.credentials import secrets
from modiste.prepare.inspect.national_ids import national_ids
from modiste.prepare.inspect.private import cards, emails, ibans, phones
from modiste.prepare.inspect.remark import mask


def conceal(text: str) -> str:
    """`text` with secrets and personal data masked; where two overlap, the longer one."""
    found = {secret.text for secret in secrets(text)}
    found |= {find.text for finder in (emails, cards, ibans, phones) for find in finder(text)}
    found |= {national.text for national in national_ids(text)}
    for private in sorted(found, key=len, reverse=True):
        text = text.replace(private, mask(private))
    return text
