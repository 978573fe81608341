"""The whole flow with the clients that have `fine_tuning.jobs`: `mistralai` 1.x and 2.x.

What differs between 1.2.6, 1.12.4 and 2.5.1 stands in the first lines; the walk is one.
"""

import asyncio
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Literal

import httpx
from material import (
    BASE,
    COLOUR,
    KEY,
    STATUSES,
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
from pydantic import BaseModel

VERSION = version("mistralai")
if VERSION.startswith("2."):
    from mistralai.client import Mistral
    from mistralai.client.errors import HTTPValidationError, SDKError
else:
    from mistralai import Mistral
    from mistralai.models import HTTPValidationError, SDKError
OLD = VERSION == "1.2.6"

client = Mistral(api_key=KEY, server_url=URL)


class Colour(BaseModel):
    colour: Literal["red", "green"]


def upload(name, content):
    return client.files.upload(
        file={"file_name": name, "content": content, "content_type": "application/jsonl"}
    )


def files():
    content = rows(VERSION)
    train = upload(f"jobs-{VERSION}-train.jsonl", content)
    same((train.object, train.purpose, train.source), ("file", "fine-tune", "upload"))
    same((train.sample_type, train.num_lines), ("instruct", 40))
    same(train.bytes if OLD else train.size_bytes, len(content))
    expect(isinstance(train.created_at, int), train)
    valid = upload(f"jobs-{VERSION}-valid.jsonl", rows(VERSION, start=40, stop=44))
    same(upload(f"jobs-{VERSION}-train.jsonl", content).id, train.id)
    told = client.files.retrieve(file_id=train.id)
    same((told.id, told.filename, told.deleted), (train.id, f"jobs-{VERSION}-train.jsonl", False))
    page = client.files.list(page=0, page_size=1, search=f"jobs-{VERSION}", purpose="fine-tune")
    same((page.object, page.total, [file.id for file in page.data]), ("list", 2, [valid.id]))
    both = client.files.list(
        sample_type=["instruct", "pretrain"], source=["upload"], search=f"jobs-{VERSION}-train"
    )
    same([file.id for file in both.data], [train.id])
    same(client.files.download(file_id=train.id).read(), content)
    if not OLD:
        link = client.files.get_signed_url(file_id=train.id, expiry=1)
        same(httpx.get(link.url).content, content)
    extra = upload(f"extra-{VERSION}.jsonl", rows("extra"))
    gone = client.files.delete(file_id=extra.id)
    same((gone.id, gone.deleted), (extra.id, True))
    same(raises(SDKError, client.files.retrieve, file_id=extra.id).status_code, 404)
    broken = raises(SDKError, upload, "broken.jsonl", b"{nope\n{}\n[\n")
    same(broken.status_code, 422)
    for line in (1, 3):
        expect(f"broken.jsonl line {line}" in broken.body, broken.body)
    return train, valid


def job_is_validated_then_started(train, valid):
    """auto_start=False: it rests in VALIDATED with an estimate, and runs after `start`."""
    hyperparameters = {"training_steps": 2, "learning_rate": 1e-4, "weight_decay": 0.1}
    asked = {
        "model": BASE,
        "training_files": [{"file_id": train.id, "weight": 1.0}],
        "validation_files": [valid.id],
        "hyperparameters": hyperparameters,
        "suffix": "by-hand",
        "auto_start": False,
    }
    job = client.fine_tuning.jobs.create(**asked)
    wire = job.model_dump(by_alias=True)
    same((wire["object"], job.status, wire["job_type"]), ("job", "QUEUED", "completion"))
    same((job.model, job.auto_start, job.suffix), (BASE, False, "by-hand"))
    same((job.training_files, job.validation_files), ([train.id], [valid.id]))
    same(job.hyperparameters.training_steps, 2)
    expect(job.fine_tuned_model is None, job)
    same(raises(SDKError, client.fine_tuning.jobs.create, **asked).status_code, 409)

    def status():
        return client.fine_tuning.jobs.get(job_id=job.id).status

    seen = until(status, "VALIDATED".__eq__)
    expect(set(seen) <= {"QUEUED", "VALIDATING", "VALIDATED"}, seen)
    told = client.fine_tuning.jobs.get(job_id=job.id)
    expect(told.metadata.train_tokens > 0 and told.metadata.data_tokens > 0, told.metadata)
    expect(told.metadata.expected_duration_seconds >= 0, told.metadata)
    same((told.metadata.cost_currency, told.metadata.cost), ("EUR", 0.0))
    expect(told.hyperparameters.epochs > 0, told.hyperparameters)
    started = client.fine_tuning.jobs.start(job_id=job.id)
    same(started.status, "QUEUED")
    seen = [started.status, *until(status, lambda s: s not in ("RUNNING", "QUEUED"))]
    same(seen[-1], "SUCCESS")
    return job.id


def job_is_told(job_id):
    job = client.fine_tuning.jobs.get(job_id=job_id)
    same(TUNED_NAME.fullmatch(job.fine_tuned_model).groups(), ("by-hand", job_id[:8]))
    told = [event.data["status"] for event in job.events]
    same(told[:4], ["QUEUED", "VALIDATING", "VALIDATED", "QUEUED"])
    same(told[-2:], ["RUNNING", "SUCCESS"])
    same([event.created_at for event in job.events], sorted(e.created_at for e in job.events))
    expect(job.trained_tokens > 0, job)
    checkpoint = job.checkpoints[0]
    same(checkpoint.step_number, 2)
    metrics = checkpoint.metrics
    expect(metrics.train_loss > 0 and metrics.valid_loss > 0, metrics)
    expect(0 <= metrics.valid_mean_token_accuracy <= 1, metrics)
    return job.fine_tuned_model


def job_is_cancelled(train):
    """auto_start=True: QUEUED or RUNNING from the first look on, until it is cancelled."""
    options = {} if OLD else {"invalid_sample_skip_percentage": 0.1, "job_type": "completion"}
    job = client.fine_tuning.jobs.create(
        model=BASE,
        training_files=[{"file_id": train.id}],
        hyperparameters={"training_steps": 5000, "learning_rate": 1e-4, "epochs": None},
        integrations=[
            {"type": "wandb", "project": VERSION, "name": "n", "run_name": "r", "api_key": "k" * 40}
        ],
        auto_start=True,
        **options,
    )
    same((job.status, job.auto_start), ("QUEUED", True))
    same((job.integrations[0].project, job.integrations[0].run_name), (VERSION, "r"))
    expect("k" * 40 not in job.model_dump_json(), "the api key came back")

    def status():
        return client.fine_tuning.jobs.get(job_id=job.id).status

    seen = until(status, "RUNNING".__eq__)
    expect(set(seen) <= {"QUEUED", "RUNNING"}, seen)
    stopped = client.fine_tuning.jobs.cancel(job_id=job.id)
    expect(stopped.status in ("CANCELLATION_REQUESTED", "CANCELLED"), stopped.status)
    until(status, "CANCELLED".__eq__)
    expect(client.fine_tuning.jobs.get(job_id=job.id).fine_tuned_model is None, job.id)
    return job.id


def jobs_are_listed(done_id, cancelled_id):
    everything = client.fine_tuning.jobs.list()
    same(everything.model_dump(by_alias=True)["object"], "list")
    same(len(everything.data), everything.total)
    expect({job.status for job in everything.data} <= STATUSES, everything)
    ids = [job.id for job in everything.data]
    expect(ids.index(cancelled_id) < ids.index(done_id), "newest first", ids)
    filters = {
        "page": 0,
        "page_size": 5,
        "model": BASE,
        "created_after": datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC),
        "created_by_me": True,
        "status": "CANCELLED",
        "wandb_project": VERSION,
        "wandb_name": "n",
    }
    if not OLD:
        filters["created_before"] = datetime(2130, 1, 1)
    found = client.fine_tuning.jobs.list(**filters)
    same([job.id for job in found.data], [cancelled_id])
    same(client.fine_tuning.jobs.list(**{**filters, "status": "SUCCESS"}).data, [])
    page = client.fine_tuning.jobs.list(page=1, page_size=1)
    same([job.id for job in page.data], ids[1:2])
    unknown = "00000000-0000-0000-0000-000000000000"
    same(raises(SDKError, client.fine_tuning.jobs.get, job_id=unknown).status_code, 404)


def chat(model):
    messages = [{"role": "user", "content": f"[{VERSION}] What is 1 plus 2?"}]
    asked = {
        "model": model,
        "messages": messages,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 8,
        "random_seed": 3,
        "safe_prompt": False,
        "stop": ["zzz"],
    }
    answer = client.chat.complete(**asked)
    same((answer.object, answer.model, len(answer.id)), ("chat.completion", model, 32))
    choice = answer.choices[0]
    same((choice.index, choice.message.role), (0, "assistant"))
    expect(choice.finish_reason in ("stop", "length"), choice)
    expect(not choice.message.tool_calls, choice)
    usage = answer.usage
    same(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)
    expect(1 <= usage.completion_tokens <= 8, usage)
    same(client.chat.complete(**asked).choices[0].message.content, choice.message.content)

    events = list(client.chat.stream(**asked))
    same(events[0].data.choices[0].delta.role, "assistant")
    text = "".join(event.data.choices[0].delta.content or "" for event in events)
    same(text, choice.message.content)
    same(events[-1].data.choices[0].finish_reason, choice.finish_reason)
    same(events[-1].data.usage.total_tokens, usage.total_tokens)
    asyncio.run(chat_async(asked, choice.message.content))

    several = client.chat.complete(**{**asked, "n": 2, "presence_penalty": 0.1})
    same([choice.index for choice in several.choices], [0, 1])
    prefix = {"role": "assistant", "content": "It is", "prefix": True}
    begun = client.chat.complete(**{**asked, "messages": [*messages, prefix]})
    expect(begun.choices[0].message.content.startswith("It is"), begun)
    text_chunk = [{"type": "text", "text": messages[0]["content"]}]
    chunked = client.chat.complete(
        **{**asked, "messages": [{"role": "user", "content": text_chunk}]}
    )
    same(chunked.choices[0].message.content, choice.message.content)


def tools_and_json(model):
    asked = {
        "model": model,
        "messages": [WHERE],
        "tools": [TRACK],
        "tool_choice": "any",
        "random_seed": 2,
    }
    answer = client.chat.complete(**asked)
    choice = answer.choices[0]
    same((choice.finish_reason, choice.message.content), ("tool_calls", ""))
    told = [called(call) for call in choice.message.tool_calls]
    events = list(client.chat.stream(**asked))
    deltas = [call for e in events for call in e.data.choices[0].delta.tool_calls or []]
    same([called(call) for call in deltas], told)
    same(events[-1].data.choices[0].finish_reason, "tool_calls")
    results = [
        {"role": "tool", "content": "in Bern", "name": "track", "tool_call_id": call_id}
        for call_id, _, _ in told
    ]
    talk = {**asked, "tool_choice": "auto", "max_tokens": 6}
    talked = client.chat.complete(**{**talk, "messages": [WHERE, choice.message, *results]})
    same(talked.choices[0].message.role, "assistant")
    spoken = client.chat.complete(**{**asked, "tool_choice": "none", "max_tokens": 6})
    expect(not spoken.choices[0].message.tool_calls, spoken)
    if not hasattr(client.chat, "parse"):  # 1.2: json_object is all it knows
        begun = client.chat.complete(
            model=model, messages=[WHERE], response_format={"type": "json_object"}, max_tokens=40
        )
        expect(begun.choices[0].message.content.startswith("{"), begun)
        return
    named = {"type": "function", "function": {"name": "track"}}
    one = client.chat.complete(**{**asked, "tool_choice": named, "parallel_tool_calls": False})
    same(len(one.choices[0].message.tool_calls), 1)
    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR, "strict": True}}
    formed = {"model": model, "messages": [WHERE], "response_format": schema, "random_seed": 4}
    text = client.chat.complete(**formed).choices[0].message.content
    coloured(text)
    streamed = "".join(e.data.choices[0].delta.content or "" for e in client.chat.stream(**formed))
    same(streamed, text)
    parsed = client.chat.parse(Colour, model=model, messages=[WHERE], random_seed=4)
    expect(parsed.choices[0].message.parsed.colour in ("red", "green"), parsed)


async def chat_async(asked, expected):
    async with Mistral(api_key=KEY, server_url=URL) as other:
        answer = await other.chat.complete_async(**asked)
        same(answer.choices[0].message.content, expected)
        text = ""
        async for event in await other.chat.stream_async(**asked):
            text += event.data.choices[0].delta.content or ""
        same(text, expected)


def models(tuned, job_id):
    cards = {card.id: card for card in client.models.list().data}
    base, mine = cards["modiste-tiny"], cards[tuned]
    expect(BASE in base.aliases and base.capabilities.fine_tuning, base)
    for card in (base, mine):
        able = card.capabilities
        same(
            (able.completion_chat, able.function_calling, able.completion_fim), (True, True, False)
        )
    same((mine.job, mine.root, mine.archived), (job_id, BASE, False))
    same(client.models.retrieve(model_id=tuned), mine)
    same(client.models.retrieve(model_id=BASE).id, "modiste-tiny")
    told = client.models.update(model_id=tuned, name="Sums", description="adds numbers")
    same((told.id, told.name, told.description), (tuned, "Sums", "adds numbers"))
    same(client.models.retrieve(model_id=tuned).name, "Sums")
    same(client.models.archive(model_id=tuned).archived, True)
    messages = [{"role": "user", "content": "x"}]
    stopped = raises(SDKError, client.chat.complete, model=tuned, messages=messages)
    same(stopped.status_code, 400)
    same(client.models.unarchive(model_id=tuned).archived, False)
    client.chat.complete(model=tuned, messages=messages, max_tokens=1)
    same(raises(SDKError, client.models.delete, model_id="modiste-tiny").status_code, 403)
    gone = client.models.delete(model_id=tuned)
    same((gone.id, gone.deleted), (tuned, True))
    same(raises(SDKError, client.models.retrieve, model_id=tuned).status_code, 404)


def errors():
    messages = [{"role": "user", "content": "x"}]
    stranger = Mistral(api_key="wrong", server_url=URL)
    same(raises(SDKError, stranger.models.list).status_code, 401)
    for call in (client.chat.complete, client.chat.stream):
        unknown = raises(SDKError, call, model="nope", messages=messages)
        same(unknown.status_code, 400)
        expect("invalid_model" in unknown.body, unknown.body)
        wrong = raises(HTTPValidationError, call, model=BASE, messages=messages, temperature=9.0)
        expect(wrong.data.detail[0].loc == ["body", "temperature"], wrong.data)
        if not OLD:  # That one drops `strict` before it sends.
            tool = {**TRACK["function"], "parameters": {"properties": {"a": {"not": {}}}}}
            tools = [{"type": "function", "function": {**tool, "strict": True}}]
            unsure = raises(HTTPValidationError, call, model=BASE, messages=messages, tools=tools)
            path = "tools[0].function.parameters.properties.a.not"
            expect(path in unsure.data.detail[0].msg, unsure.data)
    raises(HTTPValidationError, client.fim.complete, model="codestral-latest", prompt="def")
    embed = client.embeddings.create
    same(raises(SDKError, embed, model="mistral-embed", inputs=["a"]).status_code, 400)
    order = [*messages, {"role": "assistant", "content": "y"}]
    refused = raises(SDKError, client.chat.complete, model=BASE, messages=order)
    same(refused.status_code, 400)
    expect("invalid_request_message_order" in refused.body, refused.body)
    job = {"model": "mistral-large-latest", "training_files": [], "hyperparameters": {}}
    wrong = raises(SDKError, client.fine_tuning.jobs.create, **job)
    same(wrong.status_code, 422)
    expect("At least one training file" in wrong.body, wrong.body)
    expect("Model not available" in wrong.body, wrong.body)


train, valid = files()
say("files done")
job_id = job_is_validated_then_started(train, valid)
tuned = job_is_told(job_id)
say("job done")
cancelled_id = job_is_cancelled(train)
jobs_are_listed(job_id, cancelled_id)
say("jobs done")
chat(BASE)
chat(tuned)
tools_and_json(BASE)
say("chat done")
models(tuned, job_id)
errors()
