"""What a service says to rows and files, good and bad: its routes, without Ray between them."""

import base64
import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starlette.testclient import TestClient

from actors.errors import RunFailed, UsageError
from tests.service import ECHO, plan_of, service
from tests.tiny.voices import RATE, wav

TOKEN = "0123456789abcdef"
COLUMNS = "columns: text, id"


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that echoes texts, keeps an id, and holds little."""
    columns = {"text": "string", "id": "int64", "not_read": "string"}
    plan = plan_of(
        tmp_path_factory.mktemp("echo"),
        source={"kind": "jsonl", "path": "none/", "columns": columns},
        keep=["id", "upper"],
    )
    with service(plan, max_bytes=100_000, max_rows=50) as client:
        yield client


def asked(client: TestClient, *rows: Any) -> Any:
    answer = client.post("/rows", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def test_each_row_is_answered_in_order_and_a_bad_one_with_its_reason(echo: TestClient) -> None:
    texts = ["a", "bad", 3, None, "kill", "b|c"]
    rows = asked(echo, *({"text": text, "id": n} for n, text in enumerate(texts)))
    assert [row["id"] for row in rows] == [0, 1, None, 3, 4, 5]
    assert [row["upper"] for row in rows] == ["A", None, None, None, None, "B|C"]
    assert [row["reject"] and row["reject"]["reason"] for row in rows] == [
        None, "stage_error", "wrong_type", "null_input", "killed_worker", None,
    ]  # fmt: skip
    assert rows[2]["reject"]["stage"] == "source"
    assert "when" not in rows[1]["reject"]


def test_what_is_only_kept_may_be_left_out(echo: TestClient) -> None:
    assert asked(echo, {"text": "a"}) == [{"id": None, "upper": "A", "reject": None}]


REFUSED = {
    "no json": (b"{", 400, "the body is not JSON: Expecting property name"),
    "not utf-8": (b'{"rows": [{"text": "\xff"}]}', 400, "the body is not UTF-8"),
    "nan": (b'{"rows": [{"text": NaN}]}', 400, "NaN is no number of JSON"),
    "too deep": (b"[" * 40_000, 400, "the body is not JSON"),
    "empty body": (b"", 400, "the body is not JSON"),
    "a list": (b"[1]", 422, "the body is not {"),
    "misspelt": (b'{"row": [{}]}', 422, "there is 'row' (did you mean 'rows'?)"),
    "more keys": (b'{"rows": [{}], "a": 1}', 422, "there is 'a'"),
    "no rows": (b'{"rows": []}', 422, "'rows' is empty"),
    "null rows": (b'{"rows": null}', 422, "'rows' is not a list"),
    "a number": (b'{"rows": [1]}', 422, "rows[0] is not an object of columns but a number"),
    "unknown": (
        b'{"rows": [{"txt": 1}]}', 422, f"unknown column 'txt' (did you mean 'text'?); {COLUMNS}",
    ),
    "not read": (b'{"rows": [{"text": "a", "not_read": 1}]}', 422, COLUMNS),
    "missing": (b'{"rows": [{"text": "a"}, {"id": 1}]}', 422, "rows[1] lacks column 'text'"),
    "many": (b'{"rows": [' + b"1," * 50 + b"1]}", 413, "51 rows, and 50 are the most"),
    "large": (b" " * 100_001, 413, "larger than 100,000 bytes"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_request_that_is_none_is_refused_with_a_sentence(echo: TestClient, case: str) -> None:
    body, status, said = REFUSED[case]
    answer = echo.post("/rows", content=body)
    assert (answer.status_code, list(answer.json())) == (status, ["error"])
    assert said in answer.json()["error"]
    assert "Traceback" not in answer.text


def test_a_body_without_a_length_is_refused_while_it_comes(echo: TestClient) -> None:
    came = []

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            came.append(10_000)
            yield b" " * 10_000

    answer = echo.post("/rows", content=pieces())
    assert answer.status_code == 413
    assert asked(echo, {"text": "a"})[0]["upper"] == "A"
    assert echo.gate.held == echo.gate.active == 0  # type: ignore[attr-defined]


def test_other_routes_are_named(echo: TestClient) -> None:
    assert echo.get("/rowz").json() == {"error": "there is no /rowz (did you mean '/rows'?)"}
    assert echo.get("/rows").status_code == 405
    assert echo.get("/rows").json() == {"error": "/rows takes POST, not GET; see /docs"}
    assert echo.post("/files").status_code == 404  # rows of a table are no files
    assert echo.get("/health").json() == {"status": "alive"}
    assert echo.get("/docs").status_code == 200


def test_the_pipeline_tells_what_makes_its_answers(echo: TestClient) -> None:
    told = echo.get("/pipeline").json()
    assert told["reads"] == {"text": "string", "id": "int64"}
    assert [stage["task"] for stage in told["stages"]] == [ECHO]
    assert len(told["fingerprint"]) == len(told["stages"][0]["fingerprint"]) == 32


def test_openapi_shows_the_pipeline_s_own_columns(echo: TestClient) -> None:
    schemas = echo.get("/openapi.json").json()["components"]["schemas"]
    assert schemas["Row"]["required"] == ["text"]
    assert schemas["Row"]["properties"]["id"]["anyOf"][0] == {"type": "integer"}
    assert schemas["Row"]["properties"]["text"]["description"].startswith("string, read by stage 1")
    assert list(schemas["Row"]["example"]) == ["text"]
    assert list(schemas["Answer"]["properties"]) == ["id", "upper", "reject"]
    assert asked(echo, schemas["Row"]["example"])[0]["reject"] is None


# who may ask, and how long --------------------------------------------------------------------


def test_only_who_bears_the_token_is_answered(tmp_path: Path) -> None:
    with service(plan_of(tmp_path), TOKEN) as client:
        for header in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"}):
            for path in ("/pipeline", "/docs", "/openapi.json"):
                answer = client.get(path, headers=header)
                assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert client.post("/rows", headers=header, json={}).status_code == 401
        assert client.get("/pipeline", headers={"Authorization": f"bearer {TOKEN}"}).is_success
        assert client.get("/ready").is_success


def test_what_takes_too_long_is_ended_and_what_is_full_says_so(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, stages=[{"task": ECHO, "options": {"seconds": 1.5}}])
    with service(plan, timeout=0.7, max_waiting=1) as client:
        client.stages.workers[0].start()  # type: ignore[attr-defined]
        found: list[Any] = []
        body = {"rows": [{"text": "a"}]}
        first = threading.Thread(target=lambda: found.append(client.post("/rows", json=body)))
        first.start()
        while not client.gate.active:  # type: ignore[attr-defined]
            time.sleep(0.01)
        full = client.post("/rows", json=body)
        assert (full.status_code, full.headers["retry-after"]) == (503, "1")
        assert client.get("/health").is_success
        first.join()
        assert found[0].status_code == 504
        assert "not answered within 0.7 s" in found[0].json()["error"]


def test_a_closing_service_lets_nobody_in(tmp_path: Path) -> None:
    with service(plan_of(tmp_path)) as client:
        client.gate.closing = True  # type: ignore[attr-defined]
        assert client.get("/health").status_code == 200
        assert client.get("/ready").status_code == 503
        assert client.post("/rows", json={}).json() == {"error": "the service is ending"}


def test_a_stage_that_fails_is_an_error_of_the_service(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, stages=[{"task": ECHO, "options": {"suffix": "cannot load"}}])
    with service(plan) as client:
        client.stages.lacking = "stage 1 has no replica"  # type: ignore[attr-defined]
        assert client.get("/ready").status_code == 503
        answer = client.post("/rows", json={"rows": [{"text": "a"}]})
        assert answer.status_code == 500
        assert "no weights here" in answer.json()["error"]
        client.stages.workers[0].answer = broken  # type: ignore[attr-defined]
        answer = client.post("/rows", json={"rows": [{"text": "a"}]})
        assert answer.status_code == 500
        assert "ZeroDivisionError" in answer.json()["error"] and "Traceback" not in answer.text

        client.stages.workers[0].answer = gone  # type: ignore[attr-defined]
        answer = client.post("/rows", json={"rows": [{"text": "a"}]})
        assert (answer.status_code, answer.json()) == (503, {"error": "its replica ended"})


def broken(rows: Any) -> Any:
    return 1 / 0


def gone(rows: Any) -> Any:
    raise RunFailed("its replica ended")


# files ----------------------------------------------------------------------------------------


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A service that makes pictures smaller."""
    plan = plan_of(
        tmp_path_factory.mktemp("pictures"),
        source={"kind": "images", "path": "none/", "max_bytes": 20_000},
        stages=[{"task": "image-resizing", "options": {"max_side": 20}}],
    )
    with service(plan) as client:
        yield client


def test_uploaded_files_are_rows_and_pictures_come_back(pictures: TestClient) -> None:
    files = [
        ("files", ("a.png", png())),
        ("files", ("empty.png", b"")),
        ("files", ("no.png", b"no picture")),
        ("files", ("large.png", b"x" * 20_001)),
        ("other", ("../b.png", png())),
    ]
    rows = pictures.post("/files", files=files).json()["rows"]
    reasons = [row["reject"] and row["reject"]["reason"] for row in rows]
    assert reasons == [None, "empty_file", "unreadable_image", "file_too_large", None]
    assert [row["path"] for row in rows] == [name for _, (name, _) in files]
    small = rows[0]["resized"]
    assert small["media_type"] in ("image/png", "image/jpeg")
    assert Image.open(io.BytesIO(base64.b64decode(small["base64"]))).size == (20, 15)


def test_a_file_may_come_as_base64(pictures: TestClient) -> None:
    coded = base64.b64encode(png()).decode()
    rows = asked(
        pictures,
        {"path": "a.png", "image": coded},
        {"image": coded},
        {"image": "no base64"},
        {"image": None},
        {"image": coded, "path": 3},
    )
    reasons = [row["reject"] and row["reject"]["reason"] for row in rows]
    assert reasons == [None, None, "bad_base64", "wrong_type", "wrong_type"]
    assert [row["path"] for row in rows[:2]] == ["a.png", "request"]
    assert rows[0]["resized"] == rows[1]["resized"]


@pytest.mark.parametrize("sent", [{"content": b"--x"}, {"data": {"a": "b"}}])
def test_a_form_without_files_is_refused(pictures: TestClient, sent: Any) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"} if "content" in sent else {}
    answer = pictures.post("/files", headers=headers, **sent)
    assert answer.status_code in (400, 422) and list(answer.json()) == ["error"]


def test_texts_are_files_or_rows_and_recordings_tell_their_length(tmp_path: Path) -> None:
    source = {"kind": "text", "path": "none/"}
    with service(plan_of(tmp_path, source=source)) as client:
        sent = [("f", ("a.txt", "\ufeffäb".encode())), ("f", ("b.txt", b"\xff"))]
        rows = client.post("/files", files=sent).json()["rows"]
        assert [row["upper"] for row in rows] == ["ÄB", None]
        assert rows[1]["reject"]["reason"] == "bad_encoding"
        assert asked(client, {"text": "a"}, {"text": "b", "path": "p"})[1]["path"] == "p"
    source = {"kind": "audio", "path": "none/"}
    keep = ["path", "audio_seconds", "upper"]
    stages = [{"task": ECHO, "input": {"text": "path"}}]
    with service(plan_of(tmp_path, source=source, stages=stages, keep=keep)) as client:
        sound = wav([0.0] * RATE)
        sent = [("f", ("a.wav", sound)), ("f", ("cut.wav", sound[:2_000]))]
        rows = client.post("/files", files=sent).json()["rows"]
        assert [row["audio_seconds"] for row in rows] == [1.0, None]
        assert rows[1]["reject"]["reason"] == "truncated_audio"


def test_columns_of_every_type_come_in_and_go_out(tmp_path: Path) -> None:
    row = {
        "text": "a", "n": 3, "x": 0.5, "on": True, "day": "2026-01-02", "data": "AAEC",
        "list": [[1.5], None], "made": {"up": "u", "n": 1},
    }  # fmt: skip
    types = [
        ("text", pa.string()), ("n", pa.int16()), ("x", pa.float32()), ("on", pa.bool_()),
        ("day", pa.date32()), ("data", pa.binary()), ("list", pa.list_(pa.list_(pa.float64()))),
        ("made", pa.struct([("up", pa.string()), ("n", pa.int64())])),
    ]  # fmt: skip
    pq.write_table(pa.schema(types).empty_table(), tmp_path / "like.parquet")
    source = {"kind": "parquet", "path": "like.parquet"}
    with service(plan_of(tmp_path, source=source, keep=[*row])) as client:
        (answer,) = asked(client, row)
        data = {"media_type": "application/octet-stream", "base64": "AAEC"}
        assert answer == {**row, "data": data, "reject": None}
        wrong = {"n": 1.5, "x": "1", "on": 1, "day": "x", "data": "?", "list": ["a"], "made": []}
        rows = asked(client, *({**row, name: value} for name, value in wrong.items()))
        assert {r["reject"]["reason"] for r in rows} == {"wrong_type", "bad_base64"}
        nulls = dict.fromkeys(row) | {"text": "a", "x": 1e999}
        body = json.dumps({"rows": [nulls]}).replace("Infinity", "1e999")
        (answer,) = client.post("/rows", content=body).json()["rows"]
        assert answer == {**nulls, "x": None, "reject": None}
        assert client.get("/openapi.json").is_success


def test_a_service_needs_to_know_its_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        plan_of(tmp_path, source={"kind": "parquet", "path": "none/"})
    assert "--set source.path=EXAMPLE_FILE" in str(refused.value)
    with pytest.raises(UsageError, match="'reject'"):
        plan_of(tmp_path, stages=[{"task": ECHO, "output": {"upper": "reject"}}])
