"""The whole flow with the stock `openai` client, 1.x and 3.x, on the same server and store."""

import asyncio
from importlib.metadata import version
from typing import Literal

import openai
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
from pydantic import BaseModel

VERSION = version("openai")
client = openai.OpenAI(api_key=KEY, base_url=f"{URL}/v1", max_retries=0)


class Colour(BaseModel):
    colour: Literal["red", "green"]


def files():
    content = rows(f"openai {VERSION}")
    train = client.files.create(
        file=(f"train-openai-{VERSION}.jsonl", content),
        purpose="fine-tune",
        extra_body={"expires_after": {"anchor": "created_at", "seconds": 86400}},
    )
    same((train.object, train.bytes, train.purpose), ("file", len(content), "fine-tune"))
    same((train.status, train.filename), ("processed", f"train-openai-{VERSION}.jsonl"))
    same(train.expires_at - train.created_at, 86400)
    same(client.files.wait_for_processing(train.id, poll_interval=0.1).status, "processed")
    valid_content = rows(f"openai {VERSION}", start=40, stop=44)
    valid = client.files.create(
        file=(f"valid-openai-{VERSION}.jsonl", valid_content), purpose="fine-tune"
    )
    same(client.files.retrieve(valid.id).id, valid.id)
    same(client.files.content(train.id).read(), content)
    page = client.files.list(limit=1, order="desc", purpose="fine-tune")
    same(([file.id for file in page.data], page.has_more), ([valid.id], True))
    following = client.files.list(limit=1, order="desc", after=valid.id)
    same([file.id for file in following.data], [train.id])
    walked = [file.id for file in client.files.list(limit=1)]
    same(len(walked), len(set(walked)))
    expect({train.id, valid.id} <= set(walked), walked)
    extra = client.files.create(file=("extra.jsonl", rows(VERSION)), purpose="user_data")
    same(client.files.delete(extra.id).deleted, True)
    raises(openai.NotFoundError, client.files.retrieve, extra.id)
    broken = raises(
        openai.BadRequestError,
        client.files.create,
        file=("broken.jsonl", b"{nope\n"),
        purpose="fine-tune",
    )
    expect("broken.jsonl line 1" in broken.body["message"], broken.body)
    return train, valid


def job_succeeds(train, valid):
    asked = {
        "model": BASE,
        "training_file": train.id,
        "validation_file": valid.id,
        "suffix": f"v{VERSION.replace('.', '-')}",
        "seed": 7,
        "metadata": {"client": VERSION},
        "integrations": [{"type": "wandb", "wandb": {"project": "p", "name": "n", "tags": ["t"]}}],
        "method": {
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 1,
                    "batch_size": 8,
                    "learning_rate_multiplier": 2.0,
                }
            },
        },
    }
    job = client.fine_tuning.jobs.create(**asked)
    same((job.object, job.status, job.seed), ("fine_tuning.job", "queued", 7))
    same((job.model, job.training_file, job.validation_file), (BASE, train.id, valid.id))
    same((job.error, job.fine_tuned_model, job.finished_at), (None, None, None))
    same((job.hyperparameters.n_epochs, job.hyperparameters.batch_size), (1, 8))
    same(job.method.supervised.hyperparameters.learning_rate_multiplier, 2.0)
    same((job.metadata, job.result_files), ({"client": VERSION}, []))
    same(job.integrations[0].wandb.project, "p")
    expect(job.organization_id.startswith("org-"), job)
    twice = raises(openai.ConflictError, client.fine_tuning.jobs.create, **asked)
    same(twice.code, "similar_job")
    same(twice.response.headers["x-should-retry"], "false")
    final = ("succeeded", "failed", "cancelled")
    seen = until(lambda: client.fine_tuning.jobs.retrieve(job.id).status, final.__contains__)
    same(seen[-1], "succeeded")
    expect(set(seen) <= {"queued", "validating_files", "running", "succeeded"}, seen)
    return job.id


def job_is_told(job_id):
    job = client.fine_tuning.jobs.retrieve(job_id)
    expect(TUNED_NAME.fullmatch(job.fine_tuned_model), job)
    expect(job.trained_tokens > 0 and job.finished_at >= job.created_at, job)
    events = client.fine_tuning.jobs.list_events(job_id, limit=2)
    same((len(events.data), events.has_more), (2, True))
    same(events.data[0].object, "fine_tuning.job.event")
    every = list(client.fine_tuning.jobs.list_events(job_id, limit=2))
    same(len({event.id for event in every}), len(every))
    same(every[-1].message, "Job queued.")
    expect(job.fine_tuned_model in every[0].message, every[0])
    levels = {event.level for event in every}
    expect(levels <= {"info", "warn"} and every[0].level == "info", [e.message for e in every])
    checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job_id, limit=1))
    last = checkpoints[0]
    same((last.object, last.fine_tuning_job_id), ("fine_tuning.job.checkpoint", job_id))
    same(last.fine_tuned_model_checkpoint, job.fine_tuned_model)
    same(last.metrics.step, last.step_number)
    expect(last.metrics.train_loss > 0 and last.metrics.valid_loss > 0, last)
    expect(0 <= last.metrics.valid_mean_token_accuracy <= 1, last)
    return job.fine_tuned_model


def job_is_paused_resumed_cancelled(train):
    job = client.fine_tuning.jobs.create(
        model=BASE, training_file=train.id, hyperparameters={"n_epochs": 500}
    )

    def status():
        return client.fine_tuning.jobs.retrieve(job.id).status

    until(status, "running".__eq__)
    client.fine_tuning.jobs.pause(job.id)
    until(status, "paused".__eq__)
    expect(client.fine_tuning.jobs.resume(job.id).status != "paused", job.id)
    until(status, lambda s: s in ("queued", "running"))
    client.fine_tuning.jobs.cancel(job.id)
    until(status, "cancelled".__eq__)
    return job.id


def jobs_are_listed(done_id, cancelled_id):
    found = client.fine_tuning.jobs.list(limit=2, metadata={"client": VERSION})
    same(([job.id for job in found.data], found.has_more), ([done_id], False))
    walked = [job.id for job in client.fine_tuning.jobs.list(limit=1)]
    same(len(walked), len(set(walked)))
    expect(walked.index(cancelled_id) < walked.index(done_id), walked)
    raises(openai.NotFoundError, client.fine_tuning.jobs.retrieve, "ftjob-none")


def chat(model):
    asked = {
        "model": model,
        "messages": [{"role": "user", "content": f"[openai {VERSION}] What is 1 plus 2?"}],
        "temperature": 0.7,
        "top_p": 0.9,
        "max_completion_tokens": 8,
        "seed": 3,
        "user": "me",
        "store": False,
    }
    answer = client.chat.completions.create(**asked)
    choice = answer.choices[0]
    same((answer.object, answer.model, choice.index), ("chat.completion", model, 0))
    expect(choice.finish_reason in ("stop", "length"), choice)
    usage = answer.usage
    same(usage.prompt_tokens + usage.completion_tokens, usage.total_tokens)
    chunks = list(
        client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    same(text, choice.message.content)
    same(chunks[0].choices[0].delta.role, "assistant")
    same(chunks[-2].choices[0].finish_reason, choice.finish_reason)
    same((chunks[-1].choices, chunks[-1].usage.total_tokens), ([], usage.total_tokens))
    plain = list(client.chat.completions.create(**asked, stream=True))
    same([chunk.usage for chunk in plain], [None] * len(plain))
    asyncio.run(chat_async(asked, text))


def tools_and_json(model):
    create = client.chat.completions.create
    asked = {"model": model, "messages": [WHERE], "tools": [TRACK], "seed": 2}
    choice = create(**asked, tool_choice="required").choices[0]
    same((choice.finish_reason, choice.message.content), ("tool_calls", None))
    told = [called(call) for call in choice.message.tool_calls]
    chunks = list(create(**asked, tool_choice="required", stream=True))
    calls = [call for c in chunks for call in c.choices[0].delta.tool_calls or []]
    same([call.index for call in calls], list(range(len(told))))
    same([called(call) for call in calls], told)
    same(chunks[-1].choices[0].finish_reason, "tool_calls")
    results = [{"role": "tool", "content": "in Bern", "tool_call_id": told[0][0]}]
    results += [{"role": "tool", "content": "lost", "tool_call_id": id} for id, _, _ in told[1:]]
    said = choice.message.model_dump(exclude_unset=True)
    talked = create(**{**asked, "messages": [WHERE, said, *results]}, max_tokens=6)
    same(talked.choices[0].message.role, "assistant")
    named = {"type": "function", "function": {"name": "track"}}
    one = create(**asked, tool_choice=named, parallel_tool_calls=False).choices[0].message
    same(len(one.tool_calls), 1)
    spoken = create(**asked, tool_choice="none", max_tokens=6).choices[0].message
    same(spoken.tool_calls, None)

    schema = {"type": "json_schema", "json_schema": {"name": "c", "schema": COLOUR, "strict": True}}
    formed = {"model": model, "messages": [WHERE], "response_format": schema, "seed": 4}
    answer = create(**formed, logprobs=True, top_logprobs=2).choices[0]
    coloured(answer.message.content)
    tokens = answer.logprobs.content
    same(bytes(b for token in tokens for b in token.bytes).decode(), answer.message.content)
    expect(all(len(token.top_logprobs) == 2 for token in tokens), tokens)
    chunks = list(create(**formed, logprobs=True, top_logprobs=2, stream=True))
    same("".join(c.choices[0].delta.content or "" for c in chunks), answer.message.content)
    streamed = [t for c in chunks if c.choices[0].logprobs for t in c.choices[0].logprobs.content]
    same(streamed, tokens)
    parse = getattr(client.chat.completions, "parse", None) or client.beta.chat.completions.parse
    parsed = parse(model=model, messages=[WHERE], response_format=Colour, seed=4)
    expect(parsed.choices[0].message.parsed.colour in ("red", "green"), parsed)
    banned = {str(tokens[0].top_logprobs[0].token_id): -100}
    other = create(**formed, logit_bias=banned, logprobs=True).choices[0]
    expect(other.logprobs.content[0].token_id != int(next(iter(banned))), other)


async def chat_async(asked, expected):
    async with openai.AsyncOpenAI(api_key=KEY, base_url=f"{URL}/openai/v1") as other:
        text = ""
        async for chunk in await other.chat.completions.create(**asked, stream=True):
            text += chunk.choices[0].delta.content or ""
        same(text, expected)
        page = await other.fine_tuning.jobs.list(limit=1)
        same(page.data[0].object, "fine_tuning.job")


def models(tuned):
    cards = {model.id: model for model in client.models.list()}
    expect({"modiste-tiny", tuned} <= set(cards), cards)
    same(client.models.retrieve(tuned).object, "model")
    expect(client.models.retrieve(tuned).created > 0, tuned)
    base = raises(openai.PermissionDeniedError, client.models.delete, "modiste-tiny")
    expect("base model" in base.body["message"], base.body)
    same(client.models.delete(tuned).deleted, True)
    gone = raises(openai.NotFoundError, client.models.retrieve, tuned)
    same(gone.code, "model_not_found")


def errors(train):
    messages = [{"role": "user", "content": "x"}]
    stranger = openai.OpenAI(api_key="wrong", base_url=f"{URL}/v1")
    same(raises(openai.AuthenticationError, stranger.models.list).code, "invalid_api_key")
    create = client.chat.completions.create
    unknown = raises(openai.NotFoundError, create, model="gpt-none", messages=messages)
    same((unknown.code, unknown.param), ("model_not_found", "model"))
    wrong = raises(openai.BadRequestError, create, model=BASE, messages=messages, temperature=3)
    same(wrong.param, "temperature")
    streamed = raises(openai.BadRequestError, create, model=BASE, messages=[], stream=True)
    same(streamed.type, "invalid_request_error")
    stored = raises(
        openai.UnprocessableEntityError, create, model=BASE, messages=messages, store=True
    )
    expect("nothing is stored" in stored.body["message"], stored.body)
    unsure = {"type": "json_schema", "json_schema": {"name": "u", "schema": {"not": {}}}}
    wrong = raises(
        openai.BadRequestError, create, model=BASE, messages=messages, response_format=unsure
    )
    same(wrong.param, "response_format.json_schema.schema.not")
    raises(openai.NotFoundError, client.embeddings.create, model="e", input=["a"])
    tune = client.fine_tuning.jobs.create
    model = raises(openai.BadRequestError, tune, model="gpt-4o", training_file=train.id)
    same((model.code, model.param), ("model_not_available", "model"))
    file = raises(openai.BadRequestError, tune, model=BASE, training_file="file-none")
    same(file.code, "file_not_found")
    method = {"type": "dpo", "dpo": {}}
    pairs = client.fine_tuning.jobs.create(model=BASE, training_file=train.id, method=method)
    ended = ("succeeded", "failed", "cancelled")
    until(lambda: client.fine_tuning.jobs.retrieve(pairs.id).status, ended.__contains__)
    failed = client.fine_tuning.jobs.retrieve(pairs.id)
    same(failed.status, "failed")
    expect("dpo compares pairs of answers" in failed.error.message, failed.error)


train, valid = files()
say("files done")
job_id = job_succeeds(train, valid)
tuned = job_is_told(job_id)
say("job done")
cancelled_id = job_is_paused_resumed_cancelled(train)
jobs_are_listed(job_id, cancelled_id)
say("jobs done")
chat(BASE)
chat(tuned)
tools_and_json(BASE)
say("chat done")
models(tuned)
errors(train)
