"""The same sources in an object store."""

import socket
import time
from datetime import date

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from actors.errors import UsageError
from pipelines.sources import Images, Jsonl, Parquet, Skipped
from tests.source_cases import read_all, rows_of, whole


def free_port() -> int:
    for port in range(24_000, 24_100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise OSError("no free port")


@pytest.fixture(scope="module")
def store():
    """A bucket behind a local server; credentials in the environment, as pyarrow reads them."""
    port = free_port()
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        endpoint = f"http://127.0.0.1:{port}"
        client = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1")
        client.create_bucket(Bucket="bucket")
        yield client, f"endpoint_override=127.0.0.1:{port}&scheme=http&region=us-east-1"
    server.stop()


def put(store, **files: bytes) -> None:
    for name, content in files.items():
        store[0].put_object(Bucket="bucket", Key=name.replace("__", "/"), Body=content)


def test_images_are_listed_and_read(store, tmp_path):
    put(store, **{"scans__a b#%.png": b"one", "scans__d__c.png": b"two", "scans___x.png": b"no"})
    for path in ("scans", "scans/", "scans/**"):
        table = read_all(Images(path=f"s3://bucket/{path}?{store[1]}"), tmp_path)
        assert rows_of(table) == [
            ("a b#%.png", 0, "s3://bucket/scans/a b#%.png", b"one", None),
            ("d/c.png", 0, "s3://bucket/scans/d/c.png", b"two", None),
        ]


def test_lines_are_read_in_slices(store, tmp_path, monkeypatch):
    monkeypatch.setattr("pipelines.sources.lines.CHUNK", 10)
    put(store, **{"lines__a.jsonl": b"".join(b'{"a": %d}\n' % n for n in range(20))})
    table = read_all(Jsonl(path=f"s3://bucket/lines/a.jsonl?{store[1]}"), tmp_path)
    assert table["a"].to_pylist() == list(range(20))


def test_parquet_is_read_in_slices(store, tmp_path):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"a": range(20)}), sink, row_group_size=7)
    put(store, tables__a_parquet=b"", **{"tables__a.parquet": sink.getvalue().to_pybytes()})
    table = read_all(Parquet(path=f"s3://bucket/tables/*.parquet?{store[1]}"), tmp_path)
    assert table["a"].to_pylist() == list(range(20))


def test_objects_that_changed_or_vanished_are_skipped(store, tmp_path):
    put(store, moving__a=b"1", moving__b=b"2", moving__c=b"3")
    source = Images(path=f"s3://bucket/moving/[abc]?{store[1]}")
    files = source.files(tmp_path)
    unit = whole(source, files)
    put(store, moving__a=b"other")
    store[0].delete_object(Bucket="bucket", Key="moving/b")
    read = source.read(unit, source.offers(files))
    assert read.table["image"].to_pylist() == [b"3"]
    assert read.skipped == [Skipped(files[0], "changed"), Skipped(files[1], "vanished")]


def test_two_buckets_do_not_collide(store, tmp_path):
    store[0].create_bucket(Bucket="second")
    put(store, same__x=b"1")
    store[0].put_object(Bucket="second", Key="same/x", Body=b"2")
    paths = tuple(f"s3://{bucket}/same/x?{store[1]}" for bucket in ("bucket", "second"))
    assert [file.name for file in Images(path=paths).files(tmp_path)] == [
        "s3://bucket/same/x",
        "s3://second/same/x",
    ]


def test_a_prefix_that_is_not_there_is_named_with_what_is(store, tmp_path):
    put(store, papers__a=b"1")
    with pytest.raises(UsageError) as error:
        Images(path=f"s3://bucket/paper?{store[1]}").files(tmp_path)
    assert "source path 's3://bucket/paper' is not there" in str(error.value)
    assert "did you mean 'papers'?" in str(error.value)


def test_an_object_settles_by_the_time_of_its_upload_and_its_folders_are_columns(store, tmp_path):
    put(store, **{"hive__day=2026-01-31__a%20b=7__x.jsonl": b'{"a": 1}\n'})
    path = f"s3://bucket/hive?{store[1]}"
    source = Jsonl(path=path, settle=60, partitions="hive")
    files = source.files(tmp_path)
    assert list(source.settled(files, time.time())[1]) == ["day=2026-01-31/a%20b=7/x.jsonl"]
    assert source.settled(files, time.time() + 100) == (files, {})
    table = read_all(source, tmp_path)
    assert rows_of(table) == [(files[0].name, 0, 1, date(2026, 1, 31), 7, None)]
    assert table.column_names[3:5] == ["day", "a b"]
