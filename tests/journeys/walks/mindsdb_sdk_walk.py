"""All that scripts for MindsDB do with `mindsdb_sdk`, unchanged: models, queries, rows as frames.

The server answers `Hello there.` to everything; source `shop` lies in its folder of files.
"""

import os

import mindsdb_sdk
import pandas as pd
import requests

URL, KEY = os.environ["WALK_URL"], os.environ["WALK_KEY"]
MODEL = {"model_name": "open-mistral-7b", "prompt_template": "{{text}}"}


def refused(do, *words):
    said = ""
    try:
        do()
    except (RuntimeError, AttributeError, requests.HTTPError) as error:
        said = str(error)
    assert said, "nothing was refused"
    assert all(word in said for word in words), f"{words} not in: {said}"


def connects():
    """A key as API key, as a password of both logins, and a wrong one."""
    for how in (
        {"api_key": KEY},
        {"login": "anybody", "password": KEY, "is_managed": True},
        {"login": "a@b.example", "password": KEY},
        {"headers": {"Authorization": f"Bearer {KEY}"}},
    ):
        server = mindsdb_sdk.connect(URL, **how)
        assert server.status()["mindsdb_version"]
        assert "mindsdb" in [each.name for each in server.list_projects()]
    refused(lambda: mindsdb_sdk.connect(URL, api_key="wrong").list_projects(), "Unauthorized")
    refused(
        lambda: mindsdb_sdk.connect(URL, login="x", password="wrong", is_managed=True), "Unauth"
    )


def makes_databases(server):
    shop = server.create_database("shop", engine="sqlite", connection_args={"path": "shop.db"})
    assert [each.name for each in server.list_databases()] == ["shop"]
    assert [each.name for each in shop.list_tables()] == ["asked", "chats"]
    table = shop.get_table("asked")
    assert list(table.fetch().columns) == ["id", "text", "n"]
    assert list(table.filter(id=2).fetch()["text"]) == ["Bye"]
    assert len(table.limit(2).fetch()) == 2
    told = shop.query("SELECT count(*) AS n, max(id) AS top FROM asked").fetch()
    assert told.to_dict("records") == [{"n": 4, "top": 4}]
    updated = server.databases.update("shop", connection_args={"path": "shop.db"})
    assert (updated.name, updated.engine) == ("shop", "sqlite")
    refused(lambda: server.create_database("shop", "sqlite", {"path": "shop.db"}), "exists")
    refused(lambda: server.get_database("nope"), "doesn't exist")
    nodes = {node.name: node for node in server.tree()}
    assert (nodes["shop"].type, nodes["mindsdb"].type) == ("data", "project")
    assert [node.name for node in shop.tree()] == ["asked", "chats"]
    assert [node.class_ for node in shop.tree(with_schemas=True)] == ["schema"]
    return shop


def makes_projects(server):
    lab = server.create_project("lab")
    assert "lab" in [each.name for each in server.list_projects()]
    lab.create_model("m", predict="answer", engine="anyscale_endpoints", options=dict(MODEL))
    assert [each.name for each in lab.list_models()] == ["m"]
    assert server.list_models() == []
    lab.drop_model("m")
    server.drop_project("lab")
    refused(lambda: server.get_project("lab"), "doesn't exist")


def makes_engines(server):
    made = server.ml_engines.create("mine", "anyscale_endpoints", {"api_key": "of somebody else"})
    assert made.name in [each.name for each in server.ml_engines.list()]
    assert "somebody" not in str(server.ml_engines.get("mine"))
    server.ml_engines.drop("mine")
    refused(lambda: server.ml_engines.get("mine"), "doesn't exist")
    assert "anyscale_endpoints" in [each.name for each in server.ml_handlers.list()]
    assert {"postgres", "mysql", "sqlite"} <= {each.name for each in server.data_handlers.list()}
    refused(lambda: server.ml_engines.create_byom("x", "code"), "not")


def predicts(server, shop):
    model = server.models.create("m", predict="answer", engine="anyscale_endpoints", **MODEL)
    assert (model.name, model.get_status()) == ("m", "complete")
    one = model.predict({"text": "hi"})
    assert one.to_dict("records") == [{"text": "hi", "answer": "Hello there."}]
    frame = pd.DataFrame({"text": ["a", "b"]})
    assert model.predict(frame, params={"max_tokens": 1})["answer"].tolist() == ["H", "H"]
    joined = model.predict(shop.query("SELECT * FROM asked ORDER BY id"))
    assert list(joined["answer"].isna()) == [False, False, True, False]
    of_ours = server.query("SELECT text FROM shop.asked WHERE id = 1")
    assert len(model.predict(of_ours, params={"max_tokens": 5})) == 1
    told = server.query("SELECT t.id, m.answer FROM shop.asked AS t JOIN m WHERE t.id < 3").fetch()
    assert told["answer"].tolist() == ["Hello there."] * 2
    refused(lambda: model.predict({"nope": "hi"}), "text")
    refused(lambda: server.query("SELECT * FROM nowhere").fetch(), "nowhere")
    return model


def knows_versions(server, shop, model):
    frame = model.describe()
    assert list(frame["NAME"]) == ["m"]
    assert "prompt_template" in list(model.describe("args")["key"])
    model.finetune(shop.query("SELECT * FROM chats"), options={"n_epochs": 1})
    versions = model.list_versions()
    assert [each.version for each in versions] == [1, 2]
    assert server.models.get("m", version=2).data["status"] == "generating"
    assert model.get_version(1).predict({"text": "hi"})["answer"][0] == "Hello there."
    refused(lambda: model.get_version(2).predict({"text": "hi"}), "not completed")
    refused(lambda: model.set_active(2), "2")
    model.set_active(1)
    refused(lambda: server.query("DROP MODEL m.1").fetch(), "active version")
    server.query("CANCEL FINETUNE m.2").fetch()
    server.drop_model_version("m", 2)
    assert [each.version for each in model.list_versions()] == [1]


def makes_views(server, shop):
    view = server.views.create("short", sql=shop.query("SELECT id, text FROM asked"))
    assert [each.name for each in server.views.list()] == ["short"]
    assert list(view.fetch().columns) == ["id", "text"]
    assert len(server.views.get("short").filter(id=1).fetch()) == 1
    server.views.drop("short")
    assert server.views.list() == []


def makes_jobs(server):
    job = server.jobs.create("hourly", query_str="SELECT 1; SHOW MODELS", repeat_min=60)
    assert job.name == "hourly"
    assert [each.name for each in server.jobs.list()] == ["hourly"]
    server.jobs.drop("hourly")
    assert server.jobs.list() == []


def is_told_what_is_not_here(server):
    refused(lambda: server.agents.list(), "agents", "not supported")
    refused(lambda: server.knowledge_bases.list(), "knowledge bases", "not supported")
    refused(lambda: server.api.upload_file("x", pd.DataFrame({"a": [1]})), "CREATE DATABASE")
    refused(lambda: server.api.get_file_metadata("x"), "CREATE DATABASE")
    refused(lambda: server.config.get_default_llm(), "config", "not supported")


def main():
    connects()
    server = mindsdb_sdk.connect(URL, api_key=KEY)
    shop = makes_databases(server)
    makes_projects(server)
    makes_engines(server)
    model = predicts(server, shop)
    knows_versions(server, shop, model)
    makes_views(server, shop)
    makes_jobs(server)
    is_told_what_is_not_here(server)
    server.drop_model("m")
    server.drop_database("shop")
    assert server.list_databases() == []


main()
