"""Policies over HTTP: kept, compared, attached, refused with everything that is wrong."""

from __future__ import annotations

import httpx

PATH = "/v1/policies"
POLICY = {
    "name": "shop",
    "categories": [{"code": "c", "definition": "d"}],
    "detectors": [{"name": "w", "kind": "words", "category": "c", "words": ["x"]}],
}


def test_a_policy_is_kept_compared_attached_and_taken_away(mistral: httpx.Client) -> None:
    made = mistral.post(PATH, json={"policy": POLICY}).json()
    assert (made["version"], made["attached"]) == (1, [])
    assert "category of your own" in made["remarks"][0]
    stricter = {**POLICY, "categories": [{"code": "c", "definition": "d", "threshold": 0.9}]}
    assert mistral.post(PATH, json={"policy": stricter, "comment": "why"}).json()["version"] == 2
    told = mistral.get(f"{PATH}/shop/diff").json()
    assert told["changes"] == [{"path": "categories.c.threshold", "before": 0.5, "after": 0.9}]
    assert [v["version"] for v in mistral.get(f"{PATH}/shop/versions").json()["data"]] == [2, 1]
    assert (
        mistral.get(f"{PATH}/shop?version=1").json()["policy"]["categories"][0]["threshold"] == 0.5
    )

    bound = mistral.post(f"{PATH}/shop/attach", json={"model": "modiste-tiny"})
    assert bound.json()["target"] == "modiste-tiny"
    (listed,) = mistral.get(PATH).json()["data"]
    assert [each["guarded"] for each in listed["attached"]] == ["model"]
    assert mistral.delete(f"{PATH}/shop").status_code == 409
    assert mistral.post(f"{PATH}/shop/detach", json={"model": "modiste-tiny"}).status_code == 200
    assert mistral.delete(f"{PATH}/shop").json()["policy"] is None
    assert mistral.get(f"{PATH}/shop").status_code == 404


def test_everything_wrong_is_in_one_answer(mistral: httpx.Client, openai: httpx.Client) -> None:
    wrong = {**POLICY, "categories": [{"code": "c", "acton": "block", "threshold": 7}]}
    for client in (mistral, openai):
        answer = client.post(PATH, json={"policy": wrong})
        assert answer.status_code in (400, 422)  # OpenAI's clients expect 400
        assert "did you mean 'action'" in answer.text
        assert "less than or equal to 1" in answer.text
    assert mistral.post(f"{PATH}/shop/attach", json={}).status_code == 422
