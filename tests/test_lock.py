"""One run at a time: a living owner is respected, a dead one replaced, a lost lock fences."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

import pipelines.lock as lock
from actors.errors import LockLost, SinkFailed, UsageError
from pipelines.lock import LEASE_SECONDS, NAME, Lock, Owner, fenced, is_alive, read
from pipelines.processes import born, lives
from pipelines.store import Store
from tests.mill import Corpus, places, run

CORPUS = Corpus({"a": (4, "v1")}, frozenset({("a", 1)}))
OURSELVES = Owner("other", socket.gethostname(), os.getpid(), born(os.getpid()), 0.0)

HOLD = """
import sys, time
from pathlib import Path
from pipelines.lock import Lock
from pipelines.store import Store
store = Store.at("out", Path(sys.argv[1]))
with Lock(store, "theirs").held():
    print("held", flush=True)
    sys.stdin.readline()
    store_commit = __import__("pipelines.lock", fromlist=["fenced"]).fenced
    with store_commit(store, "theirs"):
        store.put("data/late", b"")
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store.at("out", tmp_path)
    made.prepare()
    return made


@pytest.fixture
def holder(store: Store):
    """Another process that holds the lock, and commits when a line is written to it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(Path(store.path).parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def own(store: Store, owner: Owner) -> None:
    store.put(NAME, json.dumps(asdict(owner)).encode())


def wait_for(happened: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def test_a_second_run_is_refused_and_told_who_holds_the_lock(store: Store, holder) -> None:
    with pytest.raises(UsageError) as error:
        run(store, CORPUS)
    assert f"run theirs, process {holder.pid} on {socket.gethostname()}" in str(error.value)
    assert store.names("data") == []


def test_a_killed_owner_is_replaced_at_once(store: Store, holder) -> None:
    holder.kill()
    holder.wait()
    run(store, CORPUS)
    assert places(store) == CORPUS.places()


def test_an_owner_whose_process_is_a_zombie_is_dead(store: Store, holder) -> None:
    holder.kill()
    wait_for(lambda: psutil.Process(holder.pid).status() == "zombie")
    assert not is_alive(read(store))


def test_a_process_that_got_a_dead_owners_number_does_not_keep_its_lock() -> None:
    now = replace(OURSELVES, beat=time.time())
    assert is_alive(now)
    assert not is_alive(replace(now, born=now.born - 100))


def test_an_owner_on_another_machine_is_dead_after_its_lease(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    other = replace(OURSELVES, host="elsewhere", beat=time.time() - LEASE_SECONDS + 10)
    own(store, other)
    with pytest.raises(UsageError, match="on elsewhere"):
        run(store, CORPUS)
    own(store, replace(other, beat=time.time() - LEASE_SECONDS - 1))
    run(store, CORPUS)
    assert places(store) == CORPUS.places()


def test_an_owner_whose_clock_is_behind_is_alive_while_it_beats(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.3)
    other = replace(OURSELVES, host="elsewhere", beat=time.time() - 2 * LEASE_SECONDS)
    own(store, other)
    threading.Timer(0.1, own, (store, replace(other, beat=other.beat + 5))).start()
    with pytest.raises(UsageError, match="on elsewhere"):
        run(store, CORPUS)


@pytest.mark.parametrize("jump", [-3600, 3600])
def test_a_clock_that_jumps_takes_no_lock_from_a_run_that_beats(
    store: Store, holder, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    """The holder beats once by the new clock while we listen."""
    now = read(store)
    own(store, replace(now, beat=now.beat - jump))
    monkeypatch.setattr("pipelines.lock.time.sleep", lambda seconds: own(store, now))
    with pytest.raises(UsageError, match="run theirs"):
        run(store, CORPUS)


def test_a_process_is_born_once_whatever_the_clock_says(monkeypatch: pytest.MonkeyPatch) -> None:
    since = born(os.getpid())
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: 1_000_000_000.0)
    assert born(os.getpid()) == since
    assert lives(os.getpid(), since) and not lives(os.getpid(), since + 0.01)
    assert not lives(2**22 + 1, since)


def test_a_run_gives_its_lock_back(store: Store) -> None:
    with Lock(store, "mine").held():
        assert read(store).run == "mine"
    assert read(store) is None


def test_a_run_that_lost_its_lock_may_not_commit(store: Store) -> None:
    own(store, OURSELVES)
    with pytest.raises(LockLost, match="another run took over"), fenced(store, "mine"):
        pytest.fail("the block ran")


def test_a_run_that_lost_its_lock_does_not_take_the_new_owners_away(store: Store) -> None:
    with Lock(store, "mine").held():
        own(store, OURSELVES)
    assert read(store) == OURSELVES


def test_a_stopped_run_that_lost_its_lock_cannot_commit_when_it_goes_on(
    store: Store, holder, monkeypatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    holder.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(holder.pid).status() == "stopped")
    own(store, replace(read(store), beat=time.time() - LEASE_SECONDS - 1))
    run(store, CORPUS)
    holder.send_signal(signal.SIGCONT)
    _, said = holder.communicate("go on\n", timeout=20)
    assert "LockLost" in said
    assert holder.returncode == 1
    assert "late" not in store.names("data")
    assert places(store) == CORPUS.places()


def test_the_lock_cannot_change_hands_during_a_commit(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.02)
    own(store, OURSELVES)
    taken = threading.Event()

    def take() -> None:
        with Lock(store, "second").held():
            taken.set()

    with fenced(store, "other"):
        thread = threading.Thread(target=take)
        thread.start()
        assert not taken.wait(0.3)
    thread.join()
    assert taken.is_set()


def test_a_process_stopped_in_a_commit_is_named(store: Store, monkeypatch) -> None:
    monkeypatch.setattr("pipelines.store.PATIENCE_SECONDS", 0.1)
    with store.shared(), pytest.raises(SinkFailed, match="look for a stopped process"):
        Lock(store, "mine")._take()


def test_the_owner_beats_and_a_missed_beat_is_made_up(store: Store, monkeypatch) -> None:
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr("pipelines.store.PATIENCE_SECONDS", 0.05)
    with Lock(store, "mine").held():
        with store.shared():
            time.sleep(0.3)
        late = read(store).beat
        wait_for(lambda: read(store).beat > late)
