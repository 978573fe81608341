"""Requests refuse what cannot be served before anything is sent."""

import pytest

from modiste.errors import Busy, InvalidInput, Unavailable
from modiste.serve.sequence import Failed, FailureCode, Generate, Sampling


def test_sampling_names_every_value_out_of_range_at_once():
    with pytest.raises(InvalidInput) as caught:
        Sampling(
            temperature=-1,
            top_p=1.5,
            max_tokens=-2,
            seed=-3,
            presence_penalty=2.5,
            top_k=0,
            min_p=1.5,
            logit_bias={5: 101.0},
            logprobs=21,
        )

    for name in ("temperature", "top_p", "max_tokens", "seed", "presence_penalty",
                 "top_k", "min_p", "logit_bias of 5", "logprobs"):  # fmt: skip
        assert name in caught.value.message


def test_sampling_refuses_a_temperature_that_is_not_a_number():
    with pytest.raises(InvalidInput):
        Sampling(temperature=float("nan"))


@pytest.mark.parametrize("ids", [(), (-1,), (2**31,)])
def test_a_request_needs_at_least_one_token_and_only_token_ids(ids):
    with pytest.raises(InvalidInput):
        Generate("a", "/base", ids)


def test_a_failure_becomes_the_error_a_door_can_translate():
    busy = Failed("a", FailureCode.BUSY, "full", 4.0).error()
    assert isinstance(busy, Busy)
    assert busy.retry_after_s == 4.0
    assert isinstance(Failed("a", FailureCode.RESTARTING, "gone", 3.0).error(), Unavailable)
    assert Failed("a", FailureCode.TOO_LONG, "long").error().error_code == "context_length_exceeded"
