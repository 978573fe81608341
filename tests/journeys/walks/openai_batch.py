"""Batches with `openai`: a file in, files out, every status and error in its words."""

import json
from importlib.metadata import version

import openai
from material import BASE, KEY, URL, expect, raises, same, until

TAG = version("openai")
CHAT = "/v1/chat/completions"
FINAL = ("completed", "failed", "expired", "cancelled")

client = openai.OpenAI(api_key=KEY, base_url=f"{URL}/v1")


def line(n, url=CHAT, **body):
    asked = {"model": BASE, "messages": [{"role": "user", "content": f"{TAG} {n}"}], **body}
    return {"custom_id": f"{TAG}-{n}", "method": "POST", "url": url, "body": asked}


def create(lines, **options):
    content = b"".join(json.dumps(each).encode() + b"\n" for each in lines)
    sent = client.files.create(file=(f"batch-{TAG}.jsonl", content), purpose="batch")
    same((sent.purpose, sent.status), ("batch", "processed"))
    asked = {"endpoint": CHAT, "completion_window": "24h", **options}
    return client.batches.create(input_file_id=sent.id, **asked)


def ended(batch_id):
    seen = until(
        lambda: client.batches.retrieve(batch_id).status, lambda s: s in FINAL, timeout_s=200
    )
    expect(set(seen) <= {"validating", "in_progress", "finalizing", "cancelling", *FINAL}, seen)
    return client.batches.retrieve(batch_id)


def read(file_id):
    return [json.loads(each) for each in client.files.content(file_id).text.splitlines()]


def file_in_file_out():
    lines = [line(n, max_tokens=3) for n in range(5)]
    lines[2] = line(2, temperature=9)
    lines[4] = line(4, model="modiste-tiny", max_tokens=2)
    batch = create(lines, metadata={"walk": TAG})
    same((batch.object, batch.status, batch.metadata), ("batch", "validating", {"walk": TAG}))
    same(batch.expires_at - batch.created_at, 24 * 3600)
    done = ended(batch.id)
    same(done.status, "completed")
    counts = done.request_counts
    same((counts.total, counts.completed, counts.failed), (5, 4, 1))
    expect(done.in_progress_at <= done.finalizing_at <= done.completed_at, done)
    good = read(done.output_file_id)
    same([each["custom_id"] for each in good], [f"{TAG}-{n}" for n in (0, 1, 3, 4)])
    for each in good:
        same((each["response"]["status_code"], each["error"]), (200, None))
        expect(each["response"]["request_id"], each)
    same(good[3]["response"]["body"]["usage"]["completion_tokens"], 2)
    [bad] = read(done.error_file_id)
    same((bad["custom_id"], bad["response"]["status_code"]), (f"{TAG}-2", 400))
    same(bad["response"]["body"]["error"]["param"], "temperature")
    same(client.files.retrieve(done.output_file_id).purpose, "batch_output")
    return batch.id


def lists(batch_id):
    found = [batch.id for batch in client.batches.list(limit=1)]
    expect(batch_id in found and len(found) == len(set(found)), found)
    page = client.batches.list(limit=1)
    same((len(page.data), page.has_more), (1, len(found) > 1))


def cancelled():
    batch = create([line(n, max_tokens=60) for n in range(400)])
    until(
        lambda: client.batches.retrieve(batch.id).request_counts.completed,
        lambda n: n > 0,
        timeout_s=200,
    )
    expect(client.batches.cancel(batch.id).status in ("cancelling", "cancelled"), batch)
    done = ended(batch.id)
    same(done.status, "cancelled")
    expect(done.cancelled_at >= done.cancelling_at, done)
    same(len(read(done.output_file_id)), done.request_counts.completed)
    same({each["error"]["code"] for each in read(done.error_file_id)}, {"batch_cancelled"})
    same(client.batches.cancel(batch.id).status, "cancelled")


def refused():
    done = ended(create([line(0), line(0), line(1, url="/v1/embeddings")]).id)
    same((done.status, done.output_file_id), ("failed", None))
    told = [(error.line, error.code, error.param) for error in done.errors.data]
    same(told, [(2, "duplicate_custom_id", "custom_id"), (3, "invalid_url", "url")])
    wrong = raises(
        openai.BadRequestError,
        client.batches.create,
        input_file_id="none",
        endpoint="/v1/responses",
        completion_window="24h",
    )
    expect("/v1/responses" in str(wrong) and "'none'" in str(wrong), wrong)
    raises(openai.NotFoundError, client.batches.retrieve, "none")


lists(file_in_file_out())
cancelled()
refused()
