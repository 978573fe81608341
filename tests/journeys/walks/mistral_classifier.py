"""A classifier from rows to probabilities with `mistralai` 1.12.4 and 2.5.1, and asked with 3.7.0,
which has no jobs any more: there the job is made over plain HTTP.
"""

import json
import re
import urllib.request
from importlib.metadata import version

from material import BASE, KEY, STATUSES, URL, expect, raises, same, until

VERSION = version("mistralai")
if VERSION.startswith("1."):
    from mistralai import Mistral
    from mistralai.models import HTTPValidationError
else:
    from mistralai.client import Mistral
    from mistralai.client.errors import HTTPValidationError
MAKES_JOBS = not VERSION.startswith("3.")
NAME = re.compile(r"ft:classifier:open-mistral-7b:[0-9a-f]{8}:\d{8}:tell:[0-9a-f]{8}")
TARGETS = [
    {"name": "mood", "labels": ["bad", "good"], "weight": 1.0, "loss_function": "single_class"},
    {"name": "of", "labels": ["food", "room"], "weight": 0.5, "loss_function": "multi_class"},
]

client = Mistral(api_key=KEY, server_url=URL)


def rows(start, stop):
    lines = []
    for i in range(start, stop):
        mood, about = ("good", "fine") if i % 2 else ("bad", "awful")
        of = [["food"], ["room"], ["food", "room"], []][i % 4]
        text = f"[{VERSION}] The {' and '.join(of) or 'rest'} was {about}, {i}"
        labels = {"mood": mood, "of": of}
        if i % 3:
            lines.append({"text": text, "labels": labels})
        else:
            chat = [{"role": "user", "content": text}]
            lines.append({"messages": chat, "labels": labels})
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def upload(name, content):
    return client.files.upload(file={"file_name": name, "content": content}).id


def job_by_client(train, valid):
    job = client.fine_tuning.jobs.create(
        model=BASE,
        job_type="classifier",
        training_files=[{"file_id": train, "weight": 1}],
        validation_files=[valid],
        hyperparameters={"training_steps": 6, "learning_rate": 1e-3},
        suffix="tell",
        auto_start=True,
    )
    same((job.job_type, job.object), ("classifier", "job"))
    expect(job.status in STATUSES, job.status)

    def look():
        found = client.fine_tuning.jobs.get(job_id=job.id)
        expect(found.status not in ("FAILED", "FAILED_VALIDATION"), found)
        return found

    done = until(look, lambda found: found.status == "SUCCESS")[-1]
    same([target.model_dump() for target in done.classifier_targets], TARGETS_OF_ROWS)
    expect(done.checkpoints and done.checkpoints[0].metrics.valid_loss > 0, done.checkpoints)
    listed = client.fine_tuning.jobs.list(page_size=100)
    expect(job.id in [one.id for one in listed.data], listed)
    return done.fine_tuned_model


def http(path, body=None):
    content = None if body is None else json.dumps(body).encode()
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    request = urllib.request.Request(URL + path, data=content, headers=headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def job_by_http(train, valid):
    body = {
        "model": BASE,
        "job_type": "classifier",
        "training_files": [train],
        "validation_files": [valid],
        "hyperparameters": {"training_steps": 6, "learning_rate": 1e-3},
        "classifier_targets": TARGETS,
        "suffix": "tell",
        "auto_start": True,
    }
    job = http("/v1/fine_tuning/jobs", body)

    def look():
        found = http(f"/v1/fine_tuning/jobs/{job['id']}")
        expect(found["status"] not in ("FAILED", "FAILED_VALIDATION"), found)
        return found

    done = until(look, lambda found: found["status"] == "SUCCESS")[-1]
    same(done["classifier_targets"], TARGETS)
    return done["fine_tuned_model"]


TARGETS_OF_ROWS = [{**target, "weight": 1.0} for target in TARGETS]


def adds_up(result):
    mood, of = result["mood"].scores, result["of"].scores
    same((set(mood), set(of)), ({"bad", "good"}, {"food", "room"}))
    expect(abs(sum(mood.values()) - 1) < 1e-9, mood)
    expect(all(0 <= p <= 1 for p in of.values()), of)


def asks(model):
    texts = [f"The room was fine, {i}" for i in range(300)]
    many = client.classifiers.classify(model=model, **{ASKED: texts})
    same((many.model, len(many.results)), (model, 300))
    one = client.classifiers.classify(model=model, **{ASKED: texts[7]})
    adds_up(one.results[0])
    far = max(
        abs(one.results[0][name].scores[label] - p)
        for name, told in many.results[7].items()
        for label, p in told.scores.items()
    )
    expect(far < 1e-4, far)
    chat = {"messages": [{"role": "user", "content": "The food was awful"}]}
    for given, n in ((chat, 1), ([chat, chat], 2)):
        told = client.classifiers.classify_chat(model=model, **{CHATS: given})
        same(len(told.results), n)
        adds_up(told.results[0])
    refused = raises(
        HTTPValidationError,
        client.chat.complete,
        model=model,
        messages=chat["messages"],
    )
    expect("/v1/classifications" in refused.body, refused.body)
    refused = raises(HTTPValidationError, client.classifiers.classify, model=BASE, **{ASKED: "x"})
    expect("no classifier" in refused.body, refused.body)


def models(model):
    card = client.models.retrieve(model_id=model)
    same((card.capabilities.classification, card.capabilities.completion_chat), (True, False))
    if MAKES_JOBS:
        changed = client.models.update(model_id=model, description="a mood")
        same((changed.model_type, changed.description), ("classifier", "a mood"))
        same([t.name for t in changed.classifier_targets], ["mood", "of"])


def guards(model):
    """A policy may take it for a detector; it is asked under the policy's name."""
    detector = {"name": "mood", "kind": "classifier", "model": model, "target": "mood"}
    detector |= {"categories": {"bad": "gloom"}, "ignore": ["good"]}
    category = {"code": "gloom", "definition": "Somebody is not content."}
    policy = {"name": f"cheer-{VERSION}", "categories": [category], "detectors": [detector]}
    http("/v1/policies", {"policy": policy})
    text = "The food was awful"
    [told] = client.classifiers.moderate(model=policy["name"], inputs=[text]).results
    [alone] = client.classifiers.classify(model=model, **{ASKED: [text]}).results
    p = alone["mood"].scores["bad"]
    expect(abs(told.category_scores["gloom"] - p) < 1e-4, (told, alone))
    same(told.categories["gloom"], p >= 0.5)


ASKED = "inputs"
CHATS = "inputs" if VERSION.startswith("1.") else "input"
train = upload(f"moods-{VERSION}.jsonl", rows(0, 48))
valid = upload(f"moods-valid-{VERSION}.jsonl", rows(48, 60))
made = (job_by_client if MAKES_JOBS else job_by_http)(train, valid)
expect(NAME.fullmatch(made), made)
models(made)
asks(made)
guards(made)
