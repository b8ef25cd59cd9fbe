"""A whole run from an object store to an object store."""

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.world import World

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def client():
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
    made = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1", **keys
    )
    # A bucket of its own: all servers of a process have the same ones.
    made.create_bucket(Bucket="runs")
    made.port = port
    yield made
    server.stop()


def uri(client, path: str) -> str:
    query = f"endpoint_override=127.0.0.1:{client.port}&scheme=http&region=us-east-1"
    return f"s3://key:secret@runs/{path}?{query}"


def test_runs_go_on_in_an_object_store_and_show_no_secret(client, world: World) -> None:
    world.file["source"]["path"] = uri(client, "in/")
    world.file["sink"]["path"] = uri(client, "out")
    client.put_object(Bucket="runs", Key="in/a.jsonl", Body=b'{"text": "x"}\n{"text": "bad"}\n')
    outcome = world.run()
    assert "secret" not in str(outcome.as_dict())
    record = world.out.read(f"_gristmill/runs/{outcome.run}.json")
    assert b"s3://runs/in/" in record
    assert b"secret" not in record
    assert world.data() == {("a.jsonl", 0): "X"}
    client.put_object(Bucket="runs", Key="in/b.jsonl", Body=b'{"text": "y"}\n')
    assert world.run().status.rows == 1
    world.run(retry_rejects=True)
    assert world.data() == {("a.jsonl", 0): "X", ("b.jsonl", 0): "Y"}
    assert world.rejects("reason", "attempts") == {("a.jsonl", 1): ("stage_error", 2)}
