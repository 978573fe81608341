"""The whole flow as a program of early 2024 wrote it: `mistralai` 0.4.2.

This client sends the plainest requests and reads the answers most strictly: seven statuses, one
purpose, integers where newer ones allow null. Its jobs start by themselves.
"""

import json

from material import (
    BASE,
    KEY,
    TRACK,
    TUNED_NAME,
    URL,
    WHERE,
    called,
    expect,
    raises,
    rows,
    same,
    say,
    until,
)
from mistralai.client import MistralClient
from mistralai.exceptions import MistralAPIException
from mistralai.models.chat_completion import ChatMessage, ToolChoice
from mistralai.models.jobs import TrainingParameters

STATUSES = {
    "QUEUED", "STARTED", "RUNNING", "FAILED", "SUCCESS", "CANCELLED", "CANCELLATION_REQUESTED",
}  # fmt: skip
client = MistralClient(api_key=KEY, endpoint=URL, max_retries=1)


def files():
    content = rows("0.4.2")
    train = client.files.create(file=("train-0.jsonl", content))
    same((train.object, train.filename, train.purpose), ("file", "train-0.jsonl", "fine-tune"))
    same(train.bytes, len(content))
    valid = client.files.create(file=("valid-0.jsonl", rows("0.4.2", start=40, stop=44)))
    bare = client.files.create(file=rows("bare"))
    same(bare.filename, "upload")
    same(client.files.create(file=("train-0.jsonl", content)).id, train.id)
    same(client.files.retrieve(train.id).id, train.id)
    listed = client.files.list()
    same(listed.object, "list")
    expect({train.id, valid.id, bare.id} <= {file.id for file in listed.data}, listed)
    deleted = client.files.delete(bare.id)
    same((deleted.id, deleted.deleted), (bare.id, True))
    error = raises(MistralAPIException, client.files.retrieve, bare.id)
    same(error.http_status, 404)
    broken = raises(MistralAPIException, client.files.create, ("broken.jsonl", b"{nope\n[]\n"))
    same(broken.http_status, 422)
    expect("broken.jsonl line 1" in broken.message, broken.message)
    return train, valid


def jobs(train, valid):
    hyperparameters = TrainingParameters(training_steps=2, learning_rate=1e-4)
    asked = {
        "model": BASE,
        "training_files": [train.id],
        "validation_files": [valid.id],
        "hyperparameters": hyperparameters,
    }
    plan = client.jobs.create(**asked, dry_run=True)
    same((plan.object, plan.training_steps), ("job.metadata", 2))
    expect(plan.train_tokens > 0 and plan.data_tokens > 0 and plan.epochs > 0, plan)
    expect(plan.expected_duration_seconds >= 0, plan)

    job = client.jobs.create(**asked, suffix="old-client")
    same((job.object, job.status, job.job_type), ("job", "QUEUED", "completion"))
    same((job.model, job.fine_tuned_model), (BASE, None))
    same((job.training_files, job.validation_files), ([train.id], [valid.id]))
    same(job.hyperparameters.training_steps, 2)
    twice = raises(MistralAPIException, client.jobs.create, **asked, suffix="old-client")
    same(twice.http_status, 409)

    other = client.jobs.create(
        model=BASE,
        training_files=[train.id],
        hyperparameters=TrainingParameters(training_steps=500),
        integrations=[{"type": "wandb", "project": "p", "name": "n", "api_key": "k" * 40}],
    )
    same((other.integrations[0].type, other.integrations[0].project), ("wandb", "p"))
    found = client.jobs.list(wandb_project="p", wandb_name="n", created_by_me=True)
    same([each.id for each in found.data], [other.id])
    cancelled = client.jobs.cancel(other.id)
    expect(cancelled.status in ("CANCELLATION_REQUESTED", "CANCELLED"), cancelled.status)
    until(lambda: client.jobs.retrieve(other.id).status, "CANCELLED".__eq__)

    seen = until(
        lambda: client.jobs.retrieve(job.id).status, lambda s: s not in ("QUEUED", "RUNNING")
    )
    same(seen[-1], "SUCCESS")
    expect(set(seen) <= STATUSES, seen)
    done = client.jobs.retrieve(job.id)
    same(TUNED_NAME.fullmatch(done.fine_tuned_model).groups(), ("old-client", job.id[:8]))
    told = [event.data["status"] for event in done.events]
    expect(set(told) <= STATUSES, told)
    same((told[0], told[-1]), ("QUEUED", "SUCCESS"))
    same({event.name for event in done.events}, {"status-updated"})
    times = [event.created_at for event in done.events]
    same(times, sorted(times))
    last = done.checkpoints[0]
    same(last.step_number, 2)
    expect(last.metrics.train_loss > 0 and last.metrics.valid_loss > 0, last)
    expect(0 <= last.metrics.valid_mean_token_accuracy <= 1, last)
    listed = client.jobs.list(model=BASE, status="SUCCESS", suffix="old-client", page_size=5)
    same([each.id for each in listed.data], [job.id])
    same(raises(MistralAPIException, client.jobs.retrieve, "nope").http_status, 404)
    return done.fine_tuned_model


def chat(model):
    messages = [ChatMessage(role="user", content="[0.4.2] What is 1 plus 2?")]
    answer = client.chat(
        model=model, messages=messages, temperature=0.1, max_tokens=8, top_p=0.9, random_seed=1
    )
    same((answer.object, answer.model), ("chat.completion", model))
    choice = answer.choices[0]
    same((choice.index, choice.message.role), (0, "assistant"))
    expect(choice.finish_reason.value in ("stop", "length"), choice)
    usage = answer.usage
    same(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)
    expect(1 <= usage.completion_tokens <= 8, usage)
    pieces = list(
        client.chat_stream(
            model=model, messages=messages, temperature=0.1, max_tokens=8, top_p=0.9, random_seed=1
        )
    )
    same(pieces[0].choices[0].delta.role, "assistant")
    text = "".join(piece.choices[0].delta.content or "" for piece in pieces)
    same(text, choice.message.content)
    same(pieces[-1].choices[0].finish_reason, choice.finish_reason)
    same(pieces[-1].usage, usage)


def tools_and_json(model):
    messages = [ChatMessage(role="user", content=WHERE["content"])]
    asked = {"model": model, "tools": [TRACK], "tool_choice": ToolChoice.any, "random_seed": 2}
    answer = client.chat(messages=messages, **asked)
    choice = answer.choices[0]
    same((choice.finish_reason.value, choice.message.content), ("tool_calls", ""))
    told = [called(call) for call in choice.message.tool_calls]
    pieces = list(client.chat_stream(messages=messages, **asked))
    deltas = [call for p in pieces for call in p.choices[0].delta.tool_calls or []]
    same([called(call) for call in deltas], told)
    same(pieces[-1].choices[0].finish_reason.value, "tool_calls")
    results = [
        ChatMessage(role="tool", content='{"place": "Bern"}', name="track", tool_call_id=call_id)
        for call_id, _, _ in told
    ]
    then = [*messages, choice.message, *results]
    talked = client.chat(messages=then, model=model, tools=[TRACK], max_tokens=6)
    same(talked.choices[0].message.role, "assistant")
    spoken = client.chat(
        model=model, messages=messages, tools=[TRACK], tool_choice=ToolChoice.none, max_tokens=6
    )
    expect(not spoken.choices[0].message.tool_calls, spoken)
    json_mode = client.chat(
        model=model, messages=messages, response_format={"type": "json_object"}, max_tokens=40
    ).choices[0]
    expect(json_mode.message.content.startswith("{"), json_mode)


def models(tuned):
    cards = {card.id: card for card in client.list_models().data}
    same(cards[tuned].root, BASE)
    expect(cards["modiste-tiny"].created > 0, cards)
    same(cards["modiste-tiny"].permission, [])
    base = raises(MistralAPIException, client.delete_model, "modiste-tiny")
    same(base.http_status, 403)
    gone = client.delete_model(tuned)
    same((gone.id, gone.deleted), (tuned, True))
    error = raises(
        MistralAPIException,
        client.chat,
        model=tuned,
        messages=[ChatMessage(role="user", content="x")],
    )
    same(error.http_status, 400)
    same(json.loads(error.message.split("Message: ", 1)[1])["code"], "1500")


def errors():
    stranger = MistralClient(api_key="wrong", endpoint=URL)
    same(raises(MistralAPIException, stranger.list_models).http_status, 401)
    messages = [ChatMessage(role="user", content="x")]
    streamed = client.chat_stream(model="nope", messages=messages)
    same(raises(MistralAPIException, list, streamed).http_status, 400)
    embedded = raises(MistralAPIException, client.embeddings, model="mistral-embed", input=["a"])
    same(embedded.http_status, 400)


train, valid = files()
say("files done")
tuned = jobs(train, valid)
say("jobs done")
chat(BASE)
chat(tuned)
tools_and_json(BASE)
say("chat done")
models(tuned)
errors()
