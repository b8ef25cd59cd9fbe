"""The webhook: what is told, to whom it is not told, and that telling never costs a run."""

import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from actors.errors import UsageError
from jobs.cli import main
from jobs.outcome import Outcome
from jobs.schedules.schedule import Fire, Schedule
from jobs.schedules.store import Schedules
from jobs.schedules.telling import tell_failed
from jobs.telling import webhook
from jobs.telling.telling import _ended
from jobs.telling.webhook import tell
from pipelines.dispatch import Status
from pipelines.file import parse
from pipelines.notify import Notify
from pipelines.verdict import Finding, Verdict


class Receiver:
    """A real HTTP server that keeps what it was told, and answers `answers` one after the other."""

    def __init__(self) -> None:
        self.answers: list[int] = []
        self.told: list[tuple[str, dict[str, str], Any]] = []
        self.seconds = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.told.append((self.path, dict(self.headers), json.loads(body)))
                time.sleep(receiver.seconds)
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", "http://169.254.169.254/latest/meta-data")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook?x=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    Thread(target=made.server.serve_forever, args=(0.01,), daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "PAUSE_SECONDS", (0.01, 0.01))


def test_the_body_and_the_secret_header_arrive(receiver: Receiver, monkeypatch) -> None:
    monkeypatch.setenv("HOOK_KEY", "Bearer abc")
    notify = Notify(webhook=receiver.url, header_env="HOOK_KEY")
    assert tell(notify, {"pipeline": "p", "message": "x" * 10_000}) is None
    ((path, headers, body),) = receiver.told
    assert (path, headers["Authorization"]) == ("/hook?x=1", "Bearer abc")
    assert headers["Content-Type"] == "application/json"
    assert body == {"pipeline": "p", "message": "x" * 4000}


def test_the_address_may_come_from_the_environment(receiver: Receiver, monkeypatch) -> None:
    monkeypatch.setenv("HOOK", receiver.url)
    assert tell(Notify(webhook_env="HOOK"), {}) is None
    monkeypatch.setenv("HOOK", "http://example.com")
    assert "http is for this machine only" in str(tell(Notify(webhook_env="HOOK"), {}))
    monkeypatch.delenv("HOOK")
    assert tell(Notify(webhook_env="HOOK"), {}) == "$HOOK is not set"


@pytest.mark.parametrize(
    ("answers", "tries", "said"),
    [
        ([503, 200], 2, None),
        ([503] * 9, 3, "it answered 503 (3 tries)"),
        ([404], 1, "it answered 404"),
        ([302], 1, "it answered 302, and redirects are not followed"),
    ],
)
def test_what_may_pass_is_tried_again(
    receiver: Receiver, fast: None, answers: list[int], tries: int, said: str | None
) -> None:
    receiver.answers = answers
    assert tell(Notify(webhook=receiver.url), {}) == said
    assert len(receiver.told) == tries


def test_a_receiver_that_is_silent_or_gone_costs_a_bounded_time(
    receiver: Receiver, fast: None, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(webhook, "ALL_SECONDS", 0.3)
    receiver.seconds = 1.0
    start = time.monotonic()
    with caplog.at_level(logging.WARNING):
        assert tell(Notify(webhook=receiver.url), {}) == "no answer within 0.3 s"
    assert time.monotonic() - start < 1.0
    assert "the webhook 127.0.0.1 was not told" in caplog.text
    assert "hook?x=1" not in caplog.text


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "169.254.169.254", "127.0.0.1", "::1", "::ffff:192.168.0.1", "0.0.0.0"]
)
def test_a_name_that_leads_into_a_private_network_is_refused(address: str, monkeypatch) -> None:
    """Only the name server is made up."""
    monkeypatch.setattr(
        webhook.socket, "getaddrinfo", lambda *_, **__: [(0, 0, 0, "", (address, 443))]
    )
    said = tell(Notify(webhook="https://hooks.example.com/x"), {})
    assert said is not None
    assert f"hooks.example.com is {address}, which is no public address" in said


def test_a_private_network_is_allowed_by_name_and_metadata_services_never() -> None:
    assert webhook._may("10.0.0.1", False, True)
    assert not webhook._may("10.0.0.1", False, False)
    assert not webhook._may("169.254.169.254", False, True)
    assert not webhook._may("127.0.0.1", False, True)
    assert not webhook._may("10.0.0.1", True, True)
    assert webhook._may("fd00::1", False, True) and not webhook._may("fd00::1", False, False)


@pytest.mark.parametrize(
    "address",
    ["::127.0.0.1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe",
     "fec0::1", "fe80::1%eth0", "ff02::1", "5f00::1", "192.0.0.8", "240.0.0.1", "255.255.255.255"],
)  # fmt: skip
def test_no_way_of_writing_an_address_leads_to_this_machine_or_its_links(address: str) -> None:
    assert not webhook._may(address, False, False)
    assert not webhook._may(address, False, True)


def test_public_addresses_are_called_also_where_ipv4_is_seen_through_ipv6() -> None:
    for address in ("8.8.8.8", "2606:4700::1", "64:ff9b::808:808", "2002:808:808::"):
        assert webhook._may(address, False, False)


@pytest.mark.parametrize("url", ["https://2130706433/", "https://127.1/", "https://0x7f.1/"])
def test_numbers_in_place_of_a_name_are_looked_at_as_addresses(url: str) -> None:
    assert "127.0.0.1, which is no public address" in str(tell(Notify(webhook=url), {}))


def test_a_secret_is_in_no_message_whatever_is_wrong_with_it(
    receiver: Receiver, fast: None, monkeypatch, caplog
) -> None:
    monkeypatch.setenv("KEY", "Bearer s3cret\n")
    assert tell(Notify(webhook=receiver.url, header_env="KEY"), {}) is None
    assert receiver.told[0][1]["Authorization"] == "Bearer s3cret"
    for wrong in ("s3cret\nX: y", "s3cr\u00e9t"):
        monkeypatch.setenv("KEY", wrong)
        with caplog.at_level(logging.WARNING):
            said = tell(Notify(webhook=receiver.url, header_env="KEY"), {})
        assert said == "$KEY is not set to plain characters"
    monkeypatch.setenv("HOOK", f"{receiver.url}/s3cret \x01")
    with caplog.at_level(logging.WARNING):
        said = tell(Notify(webhook_env="HOOK"), {})
    assert "characters that a URL cannot have" in str(said)
    assert "s3cr" not in caplog.text


NOTIFY: dict[str, tuple[Any, str]] = {
    "http": (
        {"webhook": "http://example.com/x"},
        ", notify: 'webhook' should begin with https://; http is for this machine only",
    ),
    "password": (
        {"webhook": "https://a:b@example.com"},
        ", notify: 'webhook' should hold no user or password; name a secret by  header_env: NAME",
    ),
    "file": (
        {"webhook": "file:///etc/passwd"},
        ", notify: 'webhook' should begin with https:// and name a host",
    ),
    "none": ({}, ": 'notify' should have either webhook: URL or webhook_env: NAME"),
    "events": (
        {"webhook": "https://example.com", "events": ["fail"]},
        ", notify, events: '0' should be 'failed', 'gate', 'rejected' or 'finished', not 'fail' "
        "(did you mean 'failed'?)",
    ),
}


@pytest.mark.parametrize(("given", "said"), NOTIFY.values(), ids=NOTIFY)
def test_a_wrong_block_is_refused(given: Any, said: str) -> None:
    data = {
        "name": "p",
        "source": {"kind": "jsonl", "path": "in"},
        "stages": [{"task": "ner"}],
        "sink": {"path": "out"},
        "notify": given,
    }
    with pytest.raises(UsageError) as error:
        parse(data, "p.yaml")
    assert str(error.value).startswith(f"p.yaml{said}")


def outcome(**change: Any) -> Outcome:
    given = {"status": Status(), "max_rejected": 0.5, "rows": 3, "rejected": 1} | change
    return Outcome(run="r", output="out", seconds=1.0, **given)


ENDS: dict[str, tuple[Callable[[], Outcome], str, str]] = {
    "finished": (outcome, "finished", "3 rows, 1 rejects"),
    "rejected": (
        lambda: outcome(max_rejected=0.1),
        "rejected",
        "25.0% of the rows are rejected",
    ),
    "left out": (
        lambda: outcome(status=Status(left_out={"a": "gone"})),
        "failed",
        "1 files were left out",
    ),
    "gate": (
        lambda: outcome(
            verdict=Verdict("r", 0.0, "held", 4, 0, (Finding("rows", "5", "4", "fail", False),))
        ),
        "gate",
        "4 rows are held; rows: expected 5, seen 4",
    ),
}


@pytest.mark.parametrize(("made", "event", "message"), ENDS.values(), ids=ENDS)
def test_each_end_of_a_run_is_one_event(
    made: Callable[[], Outcome], event: str, message: str
) -> None:
    assert _ended(made()) == (event, message)


def test_a_source_that_is_gone_is_told_too(receiver: Receiver, tmp_path: Path, capsys) -> None:
    data = {
        "name": "nightly",
        "source": {"kind": "jsonl", "path": "nothing"},
        "stages": [{"task": "tests.stages.echo:Echo"}],
        "sink": {"path": "out"},
        "notify": {"webhook": receiver.url},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(data))
    assert main(["run", str(tmp_path / "p.yaml")]) == 2
    ((_, _, body),) = receiver.told
    assert (body["event"], body["pipeline"], body["exit_code"]) == ("failed", "nightly", 2)
    assert "nothing" in body["message"]
    assert body["message"] in capsys.readouterr().err


def test_a_fire_that_failed_for_good_is_told(receiver: Receiver, tmp_path: Path) -> None:
    data = {
        "name": "nightly",
        "source": {"kind": "jsonl", "path": "in"},
        "stages": [{"task": "tests.stages.echo:Echo"}],
        "sink": {"path": "out"},
        "notify": {"webhook": receiver.url},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(data))
    schedules = Schedules(tmp_path / "schedules.db")
    schedule = Schedule("night", "p.yaml", str(tmp_path), "0 3 * * *", "UTC", created=time.time())
    schedules.add(replace(schedule, settings=("errors.row_timeout={fire:%Y}",)))
    failed = Fire(
        1, "night", 0, "cron", "failed", "killed by signal 9", 0.0, 4, *[None] * 8
    )  # fmt: skip
    thread = tell_failed(schedules, failed)
    assert thread is not None
    thread.join(30)
    ((_, _, body),) = receiver.told
    assert (body["event"], body["schedule"], body["attempts"]) == ("failed", "night", 4)
    assert body["fire"] == "1970-01-01T00:00:00+00:00"
    assert tell_failed(schedules, replace(failed, schedule="gone")) is None
