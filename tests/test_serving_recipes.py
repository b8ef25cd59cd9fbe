"""Recipes answer online what they answer in a run, through one Serve on the session's Ray."""

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from PIL import Image
from ray import serve

from actors.stage import ModelFiles, Row
from jobs.demo.documents import make_documents
from jobs.training.train import load, train
from pipelines.file import parse
from pipelines.plan import Plan
from pipelines.serving.bounds import Bounds
from pipelines.serving.deployments import application
from pipelines.serving.planning import plan_service
from pipelines.units import Unit
from tests.close import assert_close
from tests.recipes import RECIPES, answers, go
from tests.service import free_port
from tests.test_recipes import COMMENTS, REVIEWS, customers, language_detector, write_csv
from tests.tiny import pairs, text, translating
from tests.world import World

pytestmark = pytest.mark.ray

Build = Callable[..., ModelFiles]
Ask = Callable[[str, Plan], str]


@pytest.fixture(scope="module")
def port(ray_session: None) -> Iterator[int]:
    """Where Serve listens; it ends with the module."""
    port = free_port()
    serve.start(http_options={"host": "127.0.0.1", "port": port}, proxy_location="HeadOnly")
    yield port
    serve.shutdown()


@pytest.fixture
def deploy(port: int) -> Iterator[Ask]:
    """Deploy a plan under a name, and tell where. Its CPUs are free again after the test."""
    names = []

    def deploy(name: str, plan: Plan) -> str:
        names.append(name)
        cpus = {step.label: 0.1 for step in plan.steps}
        serve.run(
            application(plan, Bounds(timeout=240), None, cpus), name=name, route_prefix=f"/{name}"
        )
        return f"http://127.0.0.1:{port}/{name}"

    yield deploy
    for name in names:
        serve.delete(name)


def plan_of(world: World, cache: Path) -> Plan:
    """The plan of the service of what the world has just run."""
    return plan_service(parse(world.file, "p.yaml"), "p.yaml", world.path, cache)


def source_rows(plan: Plan, world: World) -> list[Row]:
    """The rows of the source as a request sends them."""
    source = plan.pipeline.source
    (file,) = source.files(world.path)
    extent = source.extent(file, plan.read)
    table = source.read(Unit((extent.span(0, extent.rows),)), plan.read).table
    return table.select(plan.read.names).to_pylist()


def check_same(world: World, online: list[Row]) -> None:
    """Online answers are the run's: rejects alike, and values to 1e-6."""
    rejects = {row: why for (_, row), why in world.rejects("stage", "reason").items()}
    said = {n: row["reject"] for n, row in enumerate(online) if row["reject"]}
    assert {n: (why["stage"], why["reason"]) for n, why in said.items()} == rejects
    _, run = answers(world)
    good = [row for row in online if row["reject"] is None]
    assert len(good) == len(run) > 0
    for one, other in zip(run, good, strict=True):
        assert {*one} - {"_source", "_row"} == {*other} - {"reject"}
        for name in {*other} - {"reject", "path"}:
            assert_close(other[name], one[name], 1e-6, name)


@pytest.mark.chaos  # sixteen processes load torch: a minute on two busy cores
def test_reviews_are_answered_alike(world: World, tiny: Build, cache: Path, deploy: Ask) -> None:
    lines = [json.dumps({"text": line}) + "\n" for line in REVIEWS]
    (world.path / "reviews.jsonl").write_text("".join(lines))
    builders = [language_detector, translating.m2m100, text.bert_classifier, pairs.bert_pairs]
    go(world, cache, "reviews", {n: tiny(build).folder for n, build in enumerate(builders)})
    plan = plan_of(world, cache)
    url = deploy("reviews", plan)
    body = {"rows": source_rows(plan, world)}
    check_same(world, httpx2.post(f"{url}/rows", json=body, timeout=240).json()["rows"])
    assert httpx2.get(f"{url}/ready").json() == {"status": "ready"}
    assert httpx2.get(f"{url}/openapi.json").json()["info"]["title"] == "reviews"


@pytest.mark.embedded
def test_a_table_is_enriched_alike(world: World, cache: Path, deploy: Ask) -> None:
    write_csv(world.path / "past-customers.csv", customers(200, seed=0))
    file = world.path / "table-training.yaml"
    file.write_text((RECIPES / file.name).read_text())
    train(load(file, ["threads=1"]), file, cache)
    new = [row | {"comment": said} for row, said in zip(customers(5, 1), COMMENTS, strict=True)]
    for row in new:
        del row["churned"]
    write_csv(world.path / "customers.csv", new)
    go(world, cache, "table-enrichment")
    plan = plan_of(world, cache)
    url = deploy("table", plan)
    body = {"rows": source_rows(plan, world)}
    check_same(world, httpx2.post(f"{url}/rows", json=body, timeout=240).json()["rows"])


@pytest.mark.embedded
@pytest.mark.chaos  # half a minute of reading pages, twice
def test_scanned_pages_are_read_alike_as_files_and_as_base64(
    world: World, cache: Path, deploy: Ask
) -> None:
    make_documents(world.path / "all")
    (world.path / "documents").mkdir()
    page = Image.open(min((world.path / "all").glob("*.png")))
    head = page.crop((0, 0, page.width, 300))  # a whole page takes seconds to read
    head.save(world.path / "head.png")
    pages = {"head.png": (world.path / "head.png").read_bytes()}
    pages["z.png"] = b"no picture"
    for name, content in pages.items():
        (world.path / "documents" / name).write_bytes(content)
    go(world, cache, "documents")
    url = deploy("documents", plan_of(world, cache))
    files = [("files", (name, content)) for name, content in pages.items()]
    online = httpx2.post(f"{url}/files", files=files, timeout=240).json()["rows"]
    assert online.pop()["reject"]["reason"] == world.rejects()[("z.png", 0)]
    rows = [{"path": n, "image": base64.b64encode(c).decode()} for n, c in pages.items()]
    coded = httpx2.post(f"{url}/rows", json={"rows": rows[:1]}, timeout=240).json()["rows"]
    assert coded == online
    _, run = answers(world)
    for one, other in zip(run, online, strict=True):
        for name in ("text", "lines", "entities", "summary"):
            assert_close(other[name], one[name], 1e-6, name)
