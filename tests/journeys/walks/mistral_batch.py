"""Batches with `mistralai` 1.x, 2.x and 3.x: in by file and inline, out by file, in order."""

import asyncio
import json
from importlib.metadata import version

from material import BASE, KEY, URL, expect, raises, same, until

VERSION = tuple(int(part) for part in version("mistralai").split("."))
if VERSION >= (2,):
    from mistralai.client import Mistral
    from mistralai.client.errors import SDKError
    from mistralai.client.models import ChatCompletionResponse
else:
    from mistralai import Mistral
    from mistralai.models import ChatCompletionResponse, SDKError
NO_INLINE = VERSION < (1, 11)
TAG = version("mistralai")
CHAT = "/v1/chat/completions"
FINAL = ("SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED")

client = Mistral(api_key=KEY, server_url=URL)
batches = client.batch.jobs


def line(n, **body):
    asked = {"messages": [{"role": "user", "content": f"{TAG} {n}"}], "max_tokens": 3, **body}
    return {"custom_id": f"{TAG}-{n}", "body": asked}


def upload(lines):
    content = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    file = {"file_name": f"batch-{TAG}.jsonl", "content": content}
    sent = client.files.upload(file=file, purpose="batch")
    same((sent.purpose, sent.sample_type, sent.num_lines), ("batch", "batch_request", len(lines)))
    return sent.id


def download(file_id):
    return [json.loads(each) for each in client.files.download(file_id=file_id).read().splitlines()]


def ended(job_id):
    seen = until(
        lambda: batches.get(job_id=job_id).status, lambda status: status in FINAL, timeout_s=200
    )
    known = {"QUEUED", "RUNNING", "CANCELLATION_REQUESTED", *FINAL}
    expect(set(seen) <= known, seen)
    return batches.get(job_id=job_id)


def file_in_file_out():
    lines = [line(n) for n in range(5)]
    lines[2] = line(2, temperature=9)
    asked = {"input_files": [upload(lines)], "endpoint": CHAT, "model": BASE}
    job = batches.create(**asked, metadata={"walk": TAG}, timeout_hours=1)
    same((job.status, job.input_files, job.endpoint), ("QUEUED", asked["input_files"], CHAT))
    same((job.model, job.metadata, job.errors), (BASE, {"walk": TAG}, []))
    done = ended(job.id)
    same(done.status, "SUCCESS")
    counts = (done.total_requests, done.completed_requests, done.succeeded_requests)
    same((*counts, done.failed_requests), (5, 5, 4, 1))
    expect(done.started_at <= done.completed_at, done)
    good = download(done.output_file)
    same([each["custom_id"] for each in good], [f"{TAG}-{n}" for n in (0, 1, 3, 4)])
    for n, each in zip((0, 1, 3, 4), good, strict=True):
        expect(each["id"].startswith(f"batch-{job.id[:8]}-{n}-"), each)
        same((each["response"]["status_code"], each["error"]), (200, None))
        answer = ChatCompletionResponse.model_validate(each["response"]["body"])
        expect(answer.usage.completion_tokens <= 3, answer)
    [bad] = download(done.error_file)
    same((bad["custom_id"], bad["response"]["status_code"]), (f"{TAG}-2", 422))
    return job.id


def lists(job_id):
    found = batches.list(metadata={"walk": TAG}, status="SUCCESS" if NO_INLINE else ["SUCCESS"])
    same(([each.id for each in found.data], found.total), ([job_id], 1))
    same(batches.list(metadata={"walk": "no"}).data, [])
    same(len(batches.list(page=0, page_size=1).data), 1)
    mine = batches.list(model=BASE, created_by_me=True)
    expect(job_id in [each.id for each in mine.data], mine)


def cancelled():
    lines = [line(n, max_tokens=60) for n in range(400)]
    job = batches.create(input_files=[upload(lines)], endpoint=CHAT, model=BASE)
    until(lambda: batches.get(job_id=job.id).completed_requests, lambda n: n > 0, timeout_s=200)
    expect(batches.cancel(job_id=job.id).status in ("CANCELLATION_REQUESTED", "CANCELLED"), job)
    done = ended(job.id)
    same((done.status, done.total_requests), ("CANCELLED", 400))
    expect(0 < done.completed_requests < 400, done)
    same(len(download(done.output_file)), done.succeeded_requests)
    same({each["error"]["code"] for each in download(done.error_file)}, {"batch_cancelled"})


def refused():
    lines = [{"body": {"messages": []}}, {"custom_id": 7, "body": {"stream": True}}]
    job = batches.create(input_files=[upload(lines)], endpoint=CHAT, model=BASE)
    done = ended(job.id)
    same(done.status, "FAILED")
    told = " ".join(each.message for each in done.errors)
    expect("line 2: custom_id is 7" in told and "body.stream is true" in told, told)
    unknown = raises(SDKError, batches.create, input_files=["x"], endpoint="/v1/ocr", model=BASE)
    same(unknown.status_code, 422)
    expect("/v1/ocr" in unknown.body and "'x'" in unknown.body, unknown.body)


def inline():
    lines = [line(n) for n in range(3)]
    job = batches.create(requests=lines, endpoint=CHAT, model=BASE)
    ended(job.id)
    outputs = batches.get(job_id=job.id, inline=True).outputs
    same([each["custom_id"] for each in outputs], [each["custom_id"] for each in lines])
    if VERSION >= (2,):
        same(batches.delete(job_id=job.id).deleted, True)
        same(raises(SDKError, batches.get, job_id=job.id).status_code, 404)


def typed_client_of_3():
    from mistralai.client.models import ChatCompletionRequest
    from mistralai.extra.batch import BatchClient, BatchInput

    def ask(n):
        messages = [{"role": "user", "content": str(n)}]
        return ChatCompletionRequest(model=BASE, messages=messages, max_tokens=2)

    async def walk():
        typed = BatchClient(client, endpoint=CHAT, response_body_type=ChatCompletionResponse)
        payload = {f"t{n}": ask(n) for n in range(3)}
        sent = await typed.upload(BatchInput.from_payload(payload))
        handle = await typed.create(sent, model=BASE)
        return [item async for item in typed.stream_results(handle, poll_interval_seconds=0.2)]

    items = asyncio.run(walk())
    same([custom_id for custom_id, _ in items], ["t0", "t1", "t2"])
    expect(all(isinstance(item, ChatCompletionResponse) for _, item in items), items)


lists(file_in_file_out())
cancelled()
refused()
if not NO_INLINE:
    inline()
if VERSION >= (3,):
    typed_client_of_3()
