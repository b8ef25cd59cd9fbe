"""The kill campaign: runs are killed at random moments; afterwards every row stands exactly once.

    python -m tests.campaign FOLDER [KILLS] [jsonl|parquet] [SEED] [--sink delta|iceberg]

With a table as the sink, its readers look too: after each kill, and at the end at every snapshot.

Only processes that descend from a run of the campaign are killed.
"""

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import yaml

from tests import tables
from tests.processes import end_all, kind_of, wait_for_all

ROOT = Path(__file__).parent.parent
ROWS = 60
"""Rows of a file: about 3 s of work, so that kills hit units of every age."""

SECONDS = 0.05
"""Time of one row."""

LEAVE_SECONDS = 20.0
"""Time in which all processes of a killed run must be gone."""

WEIGHTS = {
    "worker": 12,
    "model": 8,
    "driver": 1.5,
    "raylet": 0.5,
    "dispatcher": 0.5,
    "agent": 0.3,
    "gcs": 0.2,
}
"""How often each kind is chosen: those that end the run cost a start of about 10 s."""

PAUSES = (0.2, 1.0, 2.0, 4.0, 8.0)
"""Longest pauses between kills, seconds: some kills hit what the last one has only just restarted,
most let a unit or two through."""

ENDS_THE_RUN = {"driver", "raylet", "agent", "gcs"}
"""Kinds whose death ends the run soon; a dispatcher's is noticed when the next unit is through."""

REASONS = {"bad": "stage_error", "kill": "killed_worker", None: "null_input", "{": "bad_json"}
"""Text of a row that is rejected -> the reason; "{" stands for a line that is no JSON."""

_SOON = "publishing.PUBLISH_SECONDS, publishing.PUBLISH_SHARE = 0.3, 1"
_MAIN = "from jobs.cli import main; sys.exit(main())"
COMMANDS = {
    True: ["-m", "jobs.cli"],
    False: ["-c", f"import sys; from pipelines.sinks import publishing; {_SOON}; {_MAIN}"],
}
"""How a run is started: as users do, or with tables published so often that kills hit it."""

Place = tuple[str, int]

_log = logging.getLogger(__name__)


@dataclass
class Figures:
    """What happened. `under_fire` rows were in data when the killing ended; `blamed` good rows were
    rejected because two kills hit them; `leaving` is the longest time that a killed run's processes
    lived on, seconds; `snapshots` of a table are right, each of them."""

    kills: Counter[str] = field(default_factory=Counter)
    exits: Counter[int] = field(default_factory=Counter)
    checks: int = 0
    rows: int = 0
    rejected: int = 0
    under_fire: int = 0
    changed: int = 0
    blamed: int = 0
    leaving: float = 0.0
    snapshots: int = 0
    seconds: float = 0.0


class Campaign:
    """One output, its growing source, and the run that is going on, if any."""

    def __init__(
        self, folder: Path, kind: str = "jsonl", seed: int = 0, sink: str = "parquet"
    ) -> None:
        self.folder = folder.absolute()
        self.kind = kind
        self.sink = sink
        self.dice = random.Random(seed)
        self.figures = Figures()
        self.versions: dict[str, list[list[str | None]]] = {}
        self.run: subprocess.Popen[bytes] | None = None
        (folder / "in").mkdir(parents=True)
        (folder / "pipeline.yaml").write_text(yaml.safe_dump(self._pipeline()))

    def _pipeline(self) -> dict:
        stage = {"task": "tests.stages.echo:Echo", "options": {"seconds": SECONDS}}
        return {
            "name": "campaign",
            "source": {"kind": self.kind, "path": "in/"},
            "stages": [stage],
            "keep": ["id", "upper"],
            "on_change": "reprocess",
            "errors": {"max_rejected": 1.0},
            "sink": tables.sink_of(self.sink, self.folder),
        }

    # the source ---------------------------------------------------------------------------------

    def add_file(self, rows: int = ROWS) -> None:
        """A file more, with a few bad rows."""
        self._write(f"f{len(self.versions):03d}.{self.kind}", rows)

    def change_file(self) -> None:
        """Another content for a file that is there already."""
        self.figures.changed += 1
        self._write(self.dice.choice(sorted(self.versions)), self.dice.randrange(1, ROWS))

    def _write(self, name: str, rows: int) -> None:
        versions = self.versions.setdefault(name, [])
        texts = [self._text(f"{name} v{len(versions)} r{row}") for row in range(rows)]
        versions.append(texts)
        aside = self.folder / "in" / f"_{name}"
        ids = [f"{name} v{len(versions) - 1} r{row}" for row in range(rows)]
        if self.kind == "jsonl":
            aside.write_text("".join(map(_line, ids, texts)))
        else:
            table = pa.table({"id": ids, "text": pa.array(texts, pa.string())})
            pq.write_table(table, aside, row_group_size=25)
        aside.replace(aside.with_name(name))

    def _text(self, good: str) -> str | None:
        bad = self.dice.random()
        if bad < 0.005:
            return "kill"
        if bad < 0.06:
            return self.dice.choice(["bad", None, "{"] if self.kind == "jsonl" else ["bad", None])
        return good

    # the run ------------------------------------------------------------------------------------

    def start(self, *options: str) -> None:
        """Start a run."""
        with (self.folder / "log.txt").open("ab") as log:
            self.run = subprocess.Popen(
                [
                    sys.executable,
                    *COMMANDS[self.sink == "parquet"],
                    "run",
                    "pipeline.yaml",
                    *options,
                ],
                cwd=self.folder,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_running(self) -> bool:
        """Whether a run goes on; notes how the last one ended."""
        if self.run is not None and self.run.poll() is not None:
            self.figures.exits[self.run.returncode] += 1
            self.run = None
        return self.run is not None

    def wait(self, seconds: float = 1800.0) -> int:
        """Wait for the run to end; return its exit code."""
        assert self.run is not None
        code = self.run.wait(seconds)
        self.is_running()
        return code

    def family(self) -> list[psutil.Process]:
        """The processes of the run, the driver first."""
        if self.run is None:
            return []
        try:
            driver = psutil.Process(self.run.pid)
            return [driver, *driver.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def ofkind_of(self, kind: str) -> list[psutil.Process]:
        """The run's processes of one kind."""
        family = self.family()
        return [process for process in family if kind_of(process, family[0]) == kind]

    def kill(self, kind: str) -> bool:
        """Kill one process of that kind; False if there is none."""
        family, chosen = self.family(), self.ofkind_of(kind)
        if not chosen:
            return False
        self.dice.choice(chosen).kill()
        self.figures.kills[kind] += 1
        if kind in ENDS_THE_RUN:
            self._see_leave(family, kind)
        return True

    def _see_leave(self, family: Sequence[psutil.Process], kind: str) -> None:
        """See that the run ends and leaves no process behind."""
        assert self.run is not None
        start = time.monotonic()
        left = wait_for_all(family, LEAVE_SECONDS if kind == "driver" else 90)
        if kind == "driver":
            self.figures.leaving = max(self.figures.leaving, time.monotonic() - start)
        assert not left, f"left after the {kind} was killed: {left}"
        self.run.wait()
        end_all(family)
        self.is_running()

    # the whole ----------------------------------------------------------------------------------

    def fight(self, kills: int) -> None:
        """Kill until that many kills are done; check the data after each and in between."""
        start = time.monotonic()
        self.add_file()
        self.add_file()
        while sum(self.figures.kills.values()) < kills:
            if not self.is_running():
                self._between_runs()
            time.sleep(self.dice.choice(PAUSES) * self.dice.random())
            self.check_data()
            kinds, weights = zip(*WEIGHTS.items(), strict=True)
            if self.kill(self.dice.choices(kinds, weights)[0]):
                self.check_data()
                _log.info("%s", self.figures)
        self.figures.under_fire = len(_read(self.folder / "out" / "data"))
        self.figures.seconds = time.monotonic() - start

    def _between_runs(self) -> None:
        """Files come, now and then another changes; then run again."""
        for _ in range(4):
            self.add_file()
        if self.dice.random() < 0.3:
            self.change_file()
        self.start(*(["--retry-rejects"] if self.dice.random() < 0.3 else []))
        if self.dice.random() < 0.2:
            time.sleep(8 * self.dice.random())  # and be killed while it starts
        else:
            self.wait_for("model")

    def wait_for(self, kind: str, seconds: float = 60.0) -> None:
        """Wait until the run has a process of that kind, or has ended."""
        deadline = time.monotonic() + seconds
        while self.is_running() and time.monotonic() < deadline and not self.ofkind_of(kind):
            time.sleep(0.1)

    def finish(self) -> None:
        """Run until all is answered, then once more for rows that were blamed for our kills."""
        if self.run is not None:
            self.wait()
        for options in ([], ["--retry-rejects"]):
            self.start(*options)
            assert self.wait() == 0, (self.folder / "log.txt").read_text()[-3000:]
            self.check_data()
            if not options:
                self.figures.blamed = self._blamed()
        assert self.places() == self.expected()
        if self.sink != "parquet":
            self._finish_table()

    def _finish_table(self) -> None:
        """The table is the data, and each of its snapshots was right."""
        data = _read(self.folder / "out" / "data")
        table = tables.rows(self.sink, self.folder)
        assert sorted(map(str, table)) == sorted(map(str, data)), "the table is not the data"
        for rows in tables.versions(self.sink, self.folder):
            self._check(rows)
            self.figures.snapshots += 1

    # what is right ------------------------------------------------------------------------------

    def check_data(self) -> None:
        """A plain reader finds `data/` right at this moment: no row twice, each row as it must be,
        and of each file one version."""
        self.figures.checks += 1
        if not (self.folder / "out" / "data").exists():
            return
        self._check(_read(self.folder / "out" / "data"))
        if self.sink != "parquet":
            self._check(tables.newest(self.sink, self.folder))

    def _check(self, rows: Sequence[dict]) -> None:
        standing = {(row["_source"], row["_row"]): row for row in rows}
        assert len(standing) == len(rows), "a row stands twice"
        version: dict[str, int] = {}
        for (name, number), row in standing.items():
            found = int(row["id"].split(" v")[1].split()[0])
            assert version.setdefault(name, found) == found, f"two versions of {name}"
            text = self.versions[name][found][number]
            assert text not in REASONS and row["upper"] == text.upper(), row

    def places(self) -> dict[Place, str]:
        """Where each row stands: its answer, or the reason of its reject. No row stands twice."""
        data = [(row, row["upper"]) for row in _read(self.folder / "out" / "data")]
        rejects = [(row, row["reason"]) for row in _read(self.folder / "out" / "rejects")]
        found = {(row["_source"], row["_row"]): what for row, what in data + rejects}
        assert len(found) == len(data) + len(rejects), "a row stands twice"
        self.figures.rows, self.figures.rejected = len(data), len(rejects)
        return found

    def expected(self) -> dict[Place, str]:
        """Where each row of the source must stand."""
        return {
            (name, row): REASONS[text] if text in REASONS else text.upper()
            for name, versions in self.versions.items()
            for row, text in enumerate(versions[-1])
        }

    def _blamed(self) -> int:
        """Good rows that were rejected because our kills hit the process while it tried them."""
        found, expected = self.places(), self.expected()
        assert found.keys() == expected.keys()
        wrong = {place for place in expected if found[place] != expected[place]}
        assert {found[place] for place in wrong} <= {"killed_worker"}
        return len(wrong)


def _line(id: str, text: str | None) -> str:
    return "{not json\n" if text == "{" else json.dumps({"id": id, "text": text}) + "\n"


def _read(folder: Path) -> list[dict]:
    """The rows of a folder; again when a file was withdrawn between listing and reading."""
    for _ in range(5):
        try:
            files = sorted(str(path) for path in folder.glob("*.parquet"))
            return ds.dataset(files).to_table().to_pylist() if files else []
        except FileNotFoundError:
            continue
    raise AssertionError(f"{folder} does not stand still")


def main() -> None:
    """Run one campaign and print its figures."""
    logging.basicConfig(level=logging.INFO)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("kills", type=int, nargs="?", default=20)
    parser.add_argument("kind", nargs="?", default="jsonl")
    parser.add_argument("seed", type=int, nargs="?", default=0)
    parser.add_argument("--sink", default="parquet", choices=("parquet", *tables.KINDS))
    args = parser.parse_args()
    campaign = Campaign(args.folder, args.kind, args.seed, args.sink)
    try:
        campaign.fight(args.kills)
        campaign.finish()
    finally:
        end_all(campaign.family())
        print(campaign.figures)


if __name__ == "__main__":
    main()
