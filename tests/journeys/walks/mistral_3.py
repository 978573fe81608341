"""Files, models and chat with `mistralai` 3.7.0, which cannot create jobs but uses what they make.

The tuned model comes from a job that is created over plain HTTP, as a neighbour would have.
"""

import json
import urllib.request

from material import (
    BASE,
    COLOUR,
    KEY,
    TRACK,
    TUNED_NAME,
    URL,
    WHERE,
    called,
    coloured,
    expect,
    raises,
    rows,
    same,
    say,
    until,
)
from mistralai.client import Mistral
from mistralai.client.errors import HTTPValidationError, SDKError

client = Mistral(api_key=KEY, server_url=URL)


def call(method, path, body=None):
    request = urllib.request.Request(
        f"{URL}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def files():
    content = rows("3.7.0")
    train = client.files.upload(
        file={"file_name": "train-3.jsonl", "content": content}, expiry=24, purpose="fine-tune"
    )
    same((train.filename, train.size_bytes), ("train-3.jsonl", len(content)))
    same(train.expires_at - train.created_at, 24 * 3600)
    same(train.visibility, "workspace")
    again = client.files.retrieve(file_id=train.id)
    same((again.id, again.deleted), (train.id, False))
    listed = client.files.list(search="train-3", purpose="fine-tune", include_total=True)
    same(([file.id for file in listed.data], listed.total), ([train.id], 1))
    same(client.files.download(file_id=train.id).read(), content)
    link = client.files.get_signed_url(file_id=train.id, expiry=2).url
    with urllib.request.urlopen(link) as answer:
        same(answer.read(), content)
    extra = client.files.upload(file={"file_name": "extra-3.jsonl", "content": rows("extra 3")})
    same(client.files.delete(file_id=extra.id).deleted, True)
    same(raises(SDKError, client.files.retrieve, file_id=extra.id).status_code, 404)
    return train.id


def neighbours_job(file_id):
    job = call(
        "POST",
        "/v1/fine_tuning/jobs",
        {
            "model": BASE,
            "training_files": [file_id],
            "hyperparameters": {"training_steps": 2},
            "auto_start": True,
        },
    )
    path = f"/v1/fine_tuning/jobs/{job['id']}"
    seen = until(lambda: call("GET", path)["status"], lambda s: s not in ("QUEUED", "RUNNING"))
    same(seen[-1], "SUCCESS")
    tuned = call("GET", path)["fine_tuned_model"]
    same(TUNED_NAME.fullmatch(tuned).groups(), (None, job["id"][:8]))
    return tuned


def chat(model):
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": "[3.7.0] What is 1 plus 2?"}],
        "temperature": 0.7,
        "max_tokens": 8,
        "random_seed": 3,
        "metadata": {"a": "b"},
        "prompt_cache_key": "k",
    }
    answer = client.chat.complete(**asked)
    choice = answer.choices[0]
    same((answer.object, answer.model), ("chat.completion", model))
    expect(choice.finish_reason in ("stop", "length"), choice)
    same(answer.usage.prompt_tokens + answer.usage.completion_tokens, answer.usage.total_tokens)
    events = list(client.chat.stream(**asked))
    text = "".join(event.data.choices[0].delta.content or "" for event in events)
    same(text, choice.message.content)
    same(events[-1].data.usage.total_tokens, answer.usage.total_tokens)
    same(events[-1].data.choices[0].finish_reason, choice.finish_reason)


def tools_and_json(model):
    asked = {"model": model, "messages": [WHERE], "tools": [TRACK], "random_seed": 2}
    choice = client.chat.complete(**asked, tool_choice="required").choices[0]
    same(choice.finish_reason, "tool_calls")
    told = [called(call) for call in choice.message.tool_calls]
    events = list(client.chat.stream(**asked, tool_choice="required"))
    deltas = [call for e in events for call in e.data.choices[0].delta.tool_calls or []]
    same([called(call) for call in deltas], told)
    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}
    formed = {"model": model, "messages": [WHERE], "response_format": schema, "top_k": 5}
    answer = client.chat.complete(**formed, logprobs=True, top_logprobs=2).choices[0]
    coloured(answer.message.content)
    tokens = answer.logprobs.content
    same(bytes(b for token in tokens for b in token.bytes_).decode(), answer.message.content)
    expect(all(len(token.top_logprobs) == 2 and token.logprob <= 0 for token in tokens), tokens)
    begun = {"role": "assistant", "content": answer.message.content[:5], "prefix": True}
    coloured(
        client.chat.complete(**formed | {"messages": [WHERE, begun]}).choices[0].message.content
    )
    prompted = {"prompt_logprobs": True, "top_prompt_logprobs": 1, "max_tokens": 1}
    whole = client.chat.complete(model=model, messages=[WHERE], temperature=0.0, **prompted)
    told = whole.choices[0].prompt_logprobs.content
    same(len(told), whole.usage.prompt_tokens - 1)
    expect(WHERE["content"] in "".join(token.token for token in told), told)
    events = list(client.chat.stream(model=model, messages=[WHERE], temperature=0.0, **prompted))
    streamed = [c.prompt_logprobs for e in events for c in e.data.choices if c.prompt_logprobs]
    same([token.logprob for token in streamed[0].content], [token.logprob for token in told])


def models(tuned):
    cards = {card.id: card for card in client.models.list().data}
    same((cards[tuned].root, cards[tuned].archived), (BASE, False))
    same([card.id for card in client.models.list(model=tuned).data], [tuned])
    same(client.models.retrieve(model_id=tuned).id, tuned)
    same(client.models.update(model_id=tuned, name="Three").name, "Three")
    same(client.models.archive(model_id=tuned).archived, True)
    same(client.models.unarchive(model_id=tuned).archived, False)
    same(raises(SDKError, client.models.delete, model_id="modiste-tiny").status_code, 403)
    same(client.models.delete(model_id=tuned).deleted, True)
    same(raises(SDKError, client.models.retrieve, model_id=tuned).status_code, 404)


def errors():
    messages = [{"role": "user", "content": "x"}]
    stranger = Mistral(api_key="wrong", server_url=URL)
    same(raises(SDKError, stranger.files.list).status_code, 401)
    unknown = raises(SDKError, client.chat.complete, model="nope", messages=messages)
    same(unknown.status_code, 400)
    alone = {"top_prompt_logprobs": 2}
    refused = raises(
        HTTPValidationError, client.chat.complete, model=BASE, messages=messages, **alone
    )
    expect("prompt_logprobs is not true" in refused.data.detail[0].msg, refused.data)
    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR}}
    begun = [*messages, {"role": "assistant", "content": "Well", "prefix": True}]
    held = {"model": BASE, "messages": begun, "response_format": schema}
    refused = raises(HTTPValidationError, client.chat.complete, **held)
    expect("begins with 'Well'" in refused.data.detail[0].msg, refused.data)
    said = {"min_tokens": 5, "max_tokens": 5, "repetition_penalty": 1.1}
    told = client.chat.complete(model=BASE, messages=messages, **said)
    same(told.usage.completion_tokens, 5)
    raises(HTTPValidationError, client.chat.complete, model=BASE, messages=messages, top_p=3.0)


file_id = files()
say("files done")
tuned = neighbours_job(file_id)
say("job done")
chat(BASE)
chat(tuned)
tools_and_json(BASE)
say("chat done")
models(tuned)
errors()
