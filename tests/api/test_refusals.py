"""One fault, three bodies: each with what its clients parse."""

from __future__ import annotations

import pytest

from modiste import errors
from modiste.api import refusals
from modiste.api.dialect import Dialect
from modiste.api.refusals import Fault, Refusal
from modiste.types import Problem

PATHS = ("/v1/chat/completions", "/v1/models", "/v1/files", "/v1/fine_tuning/jobs", "/v1/keys")
EVERY_ERROR = [
    error
    for error in vars(errors).values()
    if isinstance(error, type) and issubclass(error, errors.ModisteError)
]


def refused(error: errors.ModisteError, path: str, dialect: Dialect = Dialect.MISTRAL) -> Refusal:
    return refusals.refuse(refusals.fault_of(error), dialect=dialect, path=path, request_id="r1")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.__name__)
def test_a_422_for_inference_and_models_always_has_a_list_of_details(
    error: type[errors.ModisteError], path: str
) -> None:
    answer = refused(error("what happened", param="model"), path)
    inference = path.startswith(("/v1/chat", "/v1/models"))
    if inference and answer.status == 422:
        for entry in answer.body["detail"]:
            assert set(entry) == {"type", "loc", "msg", "input"}
    if inference and answer.status != 401:
        assert answer.body["object"] == "error"
        assert answer.body["raw_status_code"] == answer.status
        assert not isinstance(answer.body.get("detail"), str)
    if not inference and answer.status != 401:
        assert answer.body["detail"] == "what happened"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.__name__)
def test_openai_gets_one_error_object_with_its_four_fields(
    error: type[errors.ModisteError], path: str
) -> None:
    answer = refused(error("what happened", param="model"), path, Dialect.OPENAI)
    assert set(answer.body) == {"error"}
    assert set(answer.body["error"]) == {"message", "type", "param", "code"}
    assert answer.body["error"]["message"] == "what happened"


@pytest.mark.parametrize(
    ("error", "theirs", "ours"),
    [
        (errors.InvalidInput("x"), 422, 400),
        (errors.NotYetSupported("x"), 422, 422),
        (errors.BadRequest("x"), 400, 400),
        (errors.NotFound("x"), 404, 404),
        (errors.Forbidden("x"), 403, 403),
        (errors.Conflict("x"), 409, 409),
        (errors.TooLarge("x"), 413, 413),
        (errors.Busy("x"), 429, 429),
        (errors.Unavailable("x"), 503, 503),
        (errors.StorageFull("x"), 507, 507),
    ],
)
def test_each_vendor_has_its_statuses(error: errors.ModisteError, theirs: int, ours: int) -> None:
    assert refused(error, "/v1/files").status == theirs
    assert refused(error, "/v1/files", Dialect.OPENAI).status == ours


def test_a_time_to_come_back_is_at_least_one_whole_second() -> None:
    assert refused(errors.Busy("x", retry_after_s=0.1), "/v1/files").headers["retry-after"] == "1"
    assert refused(errors.Busy("x", retry_after_s=4.2), "/v1/files").headers["retry-after"] == "5"
    assert "retry-after" not in refused(errors.Busy("x"), "/v1/files").headers


def test_what_repeating_cannot_mend_says_so() -> None:
    for error in (errors.Conflict("x"), errors.StorageFull("x")):
        assert refused(error, "/v1/files").headers["x-should-retry"] == "false"
    assert "x-should-retry" not in refused(errors.Unavailable("x"), "/v1/files").headers


def test_problems_of_a_file_carry_file_line_path_and_value() -> None:
    problems = [
        Problem("t.jsonl", 4, "messages[2].role", "role_unknown", "role is 'bot'", "bot", "use x"),
        Problem("t.jsonl", None, "", "empty", "the file is empty"),
    ]
    error = errors.InvalidInput("2 problems", problems=problems)
    assert refused(error, "/v1/files").body["detail"] == [
        {
            "type": "role_unknown",
            "loc": ["file", "t.jsonl", 4, "messages[2].role"],
            "msg": "t.jsonl line 4: role is 'bot' (use x)",
            "input": "bot",
        },
        {
            "type": "empty",
            "loc": ["file", "t.jsonl"],
            "msg": "t.jsonl: the file is empty",
            "input": None,
        },
    ]
    assert refused(error, "/v1/files").body["message"] == "2 problems"


def test_fields_are_named_in_the_message_and_long_values_are_cut() -> None:
    fault = refusals.fault_of_fields(
        [
            {"type": "t", "loc": ("body", "messages", 2, "role"), "msg": "m", "input": "x" * 500},
            {"type": "t", "loc": ("query", "page"), "msg": "n", "input": float("nan")},
        ]
    )
    assert fault.message == "messages[2].role: m; page: n"
    assert fault.param == "messages[2].role"
    assert len(fault.detail[0]["input"]) == 200
    assert fault.detail[1]["input"] == "nan"


def test_statuses_that_the_0_x_client_repeats_become_a_400() -> None:
    for status in (429, 500, 502, 503, 504):
        softened = refusals.softened_for_mistral_0(Refusal(status, {"detail": "d"}, {}))
        assert softened == Refusal(400, {"detail": "d"}, {})
    for status in (401, 409, 413, 422):
        assert refusals.softened_for_mistral_0(Refusal(status, {}, {})).status == status


def test_an_unknown_model_is_a_400_for_chat_and_a_404_for_its_card() -> None:
    error = errors.NotFound("No model 'x'", code="model_not_found", param="model")
    assert refused(error, "/v1/chat/completions").status == 400
    assert refused(error, "/mistral/v1/chat/completions").body["code"] == "1500"
    assert refused(error, "/v1/models/x").status == 404
    assert refused(error, "/openai/v1/chat/completions", Dialect.OPENAI).status == 404


def test_an_unauthorized_request_is_told_in_both_forms_that_clients_know() -> None:
    body = refusals.refuse(
        Fault(401, "no key", "unauthorized"),
        dialect=Dialect.MISTRAL,
        path="/v1/models",
        request_id="r1",
    ).body
    assert body == {"detail": "Unauthorized", "message": "no key", "request_id": "r1"}
