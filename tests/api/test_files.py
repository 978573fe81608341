"""Files over HTTP: what each generation of clients sends and insists on."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from scripted import Front, chat_row, jsonl

ROW = chat_row("q", "a")
FILE_KEYS = {
    "id", "object", "bytes", "created_at", "filename", "purpose", "sample_type", "source",
    "num_lines", "mimetype", "signature", "expires_at", "visibility", "deleted", "status",
    "status_details",
}  # fmt: skip


def upload(
    client: httpx.Client, name: str, content: bytes, data: dict[str, str] | None = None
) -> httpx.Response:
    part = {"file": (name, content, "application/octet-stream")}
    return client.post("/v1/files", files=part, data=data or {})


def test_a_file_comes_back_as_it_went_in(mistral: httpx.Client) -> None:
    content = jsonl(ROW, ROW)
    answer = upload(mistral, "round trip ü.jsonl", content)
    assert answer.status_code == 200
    file = answer.json()
    assert set(file) == FILE_KEYS
    assert file["bytes"] == len(content)
    assert file["num_lines"] == 2
    assert file["purpose"] == "fine-tune"
    assert file["sample_type"] == "instruct"
    assert file["source"] == "upload"
    assert file["filename"] == "round trip ü.jsonl"
    assert file["mimetype"] == "application/jsonl"
    assert len(file["signature"]) == 16
    assert isinstance(file["created_at"], int)
    assert file["status"] == "processed"
    assert mistral.get(f"/v1/files/{file['id']}").json() == file
    download = mistral.get(f"/v1/files/{file['id']}/content")
    assert download.content == content
    assert download.headers["content-type"] == "application/octet-stream"


def test_the_same_content_and_name_is_the_same_file(mistral: httpx.Client) -> None:
    first = upload(mistral, "same.jsonl", jsonl(ROW)).json()
    assert upload(mistral, "same.jsonl", jsonl(ROW)).json()["id"] == first["id"]
    assert upload(mistral, "other.jsonl", jsonl(ROW)).json()["id"] != first["id"]


def test_fields_may_stand_after_the_file_as_javascript_clients_send_them(
    mistral: httpx.Client,
) -> None:
    boundary = "b0undary"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="late.jsonl"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
        + jsonl(ROW).decode()
        + f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        f"--{boundary}--\r\n"
    )
    kind = {"content-type": f"multipart/form-data; boundary={boundary}"}
    answer = mistral.post("/v1/files", content=body.encode(), headers=kind)
    assert answer.status_code == 200
    assert answer.json()["purpose"] == "batch"


def test_an_expiry_is_hours_for_mistral_and_seconds_for_openai(
    mistral: httpx.Client, openai: httpx.Client
) -> None:
    file = upload(mistral, "e1.jsonl", jsonl(ROW), {"expiry": "24", "visibility": "user"}).json()
    assert file["expires_at"] - file["created_at"] == 24 * 3600
    assert file["visibility"] == "user"
    fields = {
        "purpose": "fine-tune",
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "3600",
    }
    file = upload(openai, "e2.jsonl", jsonl(ROW), fields).json()
    assert file["expires_at"] - file["created_at"] == 3600


def test_a_file_over_the_limit_is_a_413_and_leaves_nothing(front: Front) -> None:
    with front.client() as client:
        before = client.get("/v1/files").json()["total"]
        for size in (front.settings.max_upload_bytes + 1, 5_000_000):
            answer = upload(client, "big.jsonl", b"x" * size)
            assert answer.status_code == 413
            assert "MODISTE_MAX_UPLOAD_BYTES" in answer.json()["detail"]
        assert client.get("/v1/files").json()["total"] == before
    assert list((front.settings.cache_dir / "uploads").glob("*")) == []


def test_the_limit_holds_where_no_length_was_announced(front: Front) -> None:
    def endless() -> object:
        yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="big.jsonl"\r\n\r\n'
        for _ in range(100):
            yield b"x" * 10_000
        yield b"\r\n--b--\r\n"

    kind = {"content-type": "multipart/form-data; boundary=b"}
    with front.client() as client:
        answer = client.post("/v1/files", content=endless(), headers=kind)  # type: ignore[arg-type]
    assert answer.status_code == 413


def test_malformed_jsonl_names_every_line_in_one_answer(mistral: httpx.Client) -> None:
    before = mistral.get("/v1/files").json()["total"]
    answer = upload(mistral, "bad.jsonl", jsonl(ROW) + b"{nope\n" + jsonl(ROW) + b"]\n\xff\n")
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    assert [entry["loc"][:3] for entry in detail] == [
        ["file", "bad.jsonl", line] for line in (2, 4, 5)
    ]
    assert mistral.get("/v1/files").json()["total"] == before


def test_an_upload_without_a_file_says_so_as_a_repeated_one_of_the_old_client(
    mistral_0: httpx.Client,
) -> None:
    answer = mistral_0.post("/v1/files", content=b"")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["body", "file"]


def test_wrong_fields_of_a_form_are_told_all_at_once(
    mistral: httpx.Client, openai: httpx.Client
) -> None:
    fields = {"expiry": "soon", "porpose": "batch", "expires_after[anchor]": "now"}
    answer = upload(mistral, "x.jsonl", jsonl(ROW), fields)
    assert answer.status_code == 422
    named = {entry["loc"][1] for entry in answer.json()["detail"]}
    assert named == {"expiry", "porpose", "expires_after[anchor]"}
    assert upload(openai, "x.jsonl", jsonl(ROW), fields).status_code == 400
    assert upload(mistral, "x.jsonl", jsonl(ROW), {"purpose": "fun"}).status_code == 422


def test_a_list_has_what_both_pagers_need(mistral: httpx.Client, openai: httpx.Client) -> None:
    made = [upload(mistral, f"page {i}.jsonl", jsonl(ROW)).json()["id"] for i in range(3)]
    page = mistral.get("/v1/files", params={"page_size": 2, "search": "page "}).json()
    assert page["object"] == "list"
    assert page["total"] == 3
    assert page["has_more"] is True
    assert [file["id"] for file in page["data"]] == [made[2], made[1]]
    rest = mistral.get("/v1/files", params={"page": 1, "page_size": 2, "search": "page "}).json()
    assert [file["id"] for file in rest["data"]] == [made[0]]
    assert rest["has_more"] is False
    cursor = {"limit": 1, "after": made[2], "order": "desc", "purpose": "fine-tune"}
    page = openai.get("/v1/files", params=cursor).json()
    assert [file["id"] for file in page["data"]] == [made[1]]
    assert page["has_more"] is True


def test_a_list_is_filtered_by_repeated_parameters(mistral: httpx.Client) -> None:
    text = upload(mistral, "text.jsonl", jsonl({"text": "Once upon a time."})).json()
    assert text["sample_type"] == "pretrain"
    query: list[tuple[str, str | int | float | bool | None]] = [
        ("sample_type", "pretrain"),
        ("sample_type", "batch_request"),
        ("source", "upload"),
        ("search", "TEXT"),
        ("include_total", "true"),
    ]
    found = mistral.get("/v1/files", params=httpx.QueryParams(query)).json()
    assert [file["id"] for file in found["data"]] == [text["id"]]
    assert mistral.get("/v1/files", params={"source": "mistral"}).json()["data"] == []


def test_wrong_queries_are_told_all_at_once(mistral: httpx.Client) -> None:
    answer = mistral.get("/v1/files", params={"page": -1, "page_size": "many", "order": "up"})
    assert answer.status_code == 422
    named = [entry["loc"] for entry in answer.json()["detail"]]
    assert named == [["query", "page"], ["query", "page_size"], ["query", "order"]]


def test_the_0_x_client_sees_files_for_tuning_only(
    mistral: httpx.Client, mistral_0: httpx.Client
) -> None:
    upload(mistral, "requests.jsonl", jsonl({"custom_id": "0", "body": {}}), {"purpose": "batch"})
    everything = mistral.get("/v1/files").json()["data"]
    assert {file["purpose"] for file in everything} >= {"fine-tune", "batch"}
    seen = mistral_0.request("GET", "/v1/files", json={}).json()["data"]
    assert {file["purpose"] for file in seen} == {"fine-tune"}


def test_a_signed_link_needs_no_key_and_cannot_be_changed(
    front: Front, mistral: httpx.Client
) -> None:
    file = upload(mistral, "signed.jsonl", jsonl(ROW)).json()
    url = mistral.get(f"/v1/files/{file['id']}/url", params={"expiry": 1}).json()["url"]
    assert url.startswith(front.url)
    answer = httpx.get(url)
    assert answer.status_code == 200
    assert answer.content == jsonl(ROW)
    assert "signed.jsonl" in answer.headers["content-disposition"]
    token, _, mac = url.rpartition(".")
    forged = f"{token}.{'A' if mac[0] != 'A' else 'B'}{mac[1:]}"
    assert httpx.get(forged).status_code == 403
    mistral.delete(f"/v1/files/{file['id']}").raise_for_status()
    assert httpx.get(url).status_code == 404


def test_a_deleted_file_is_gone(mistral: httpx.Client, openai: httpx.Client) -> None:
    file = upload(mistral, "gone.jsonl", jsonl(ROW)).json()
    answer = mistral.delete(f"/v1/files/{file['id']}")
    assert answer.status_code == 200
    assert answer.json() == {"id": file["id"], "object": "file", "deleted": True}
    for client, key in ((mistral, "detail"), (openai, "error")):
        gone = client.get(f"/v1/files/{file['id']}")
        assert gone.status_code == 404
        assert key in gone.json()


def test_a_damaged_blob_is_an_error_and_not_other_bytes(
    front: Front, mistral: httpx.Client
) -> None:
    file = upload(mistral, "damaged.jsonl", jsonl(chat_row("precious", "bytes"))).json()
    blobs = [path for path in Path(front.settings.home / "blobs").rglob("*") if path.is_file()]
    blob = next(path for path in blobs if b"precious" in path.read_bytes())
    blob.write_bytes(blob.read_bytes().replace(b"precious", b"worthles"))
    answer = mistral.get(f"/v1/files/{file['id']}/content")
    assert answer.status_code == 500
    assert "damaged" in answer.json()["detail"]


@pytest.mark.parametrize("mount", ["/v1", "/mistral/v1", "/openai/v1"])
def test_files_are_the_same_under_every_mount(mistral: httpx.Client, mount: str) -> None:
    file = upload(mistral, "mount.jsonl", jsonl(ROW)).json()
    assert mistral.get(f"{mount}/files/{file['id']}").json() == file
