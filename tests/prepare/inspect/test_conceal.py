"""Text that may be shown."""

from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.inspect.conceal import conceal


def test_everything_private_is_masked_and_the_rest_stays() -> None:
    text = "Mail jane.doe@acme.com, pay 4111 1111 1111 1111, password: hK7!pQ2z#Lm9 ok"
    assert conceal(text) == "Mail jane…om, pay 4111…11, password: hK7!…m9 ok"


@given(st.text(alphabet="abc XYZ.,\n", max_size=60))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert conceal(text) == text
