"""The benchmarks' own instruments: what they count, and that their corpora stay the same."""

import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks.corpus import texts
from benchmarks.tree import Took

BURN = """
import os, signal, sys, time
def burn(seconds):
    while time.process_time() < seconds: pass
"""
DAEMON = """
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: burn(0.6); os._exit(0)
    burn(0.4); os._exit(0)
burn(0.2)
"""


MEASURE = """
import json, os, sys
from dataclasses import asdict
from pathlib import Path
from benchmarks.tree import measure
print(json.dumps(asdict(measure([sys.executable, "-c", sys.argv[1]], os.environ, Path.cwd()))))
"""


def run(program: str) -> Took:
    """Measure from a process of its own: what measures adopts orphans, and counts all of its own
    children, which pytest has many of."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, program], capture_output=True, text=True, check=True
    )
    return Took(**json.loads(done.stdout))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cpu_time_of_daemons_whose_parents_ignore_them_is_counted() -> None:
    alone = run(BURN + "burn(0.2)").cpu_s
    took = run(BURN + DAEMON)
    assert took.processes == 3
    # Two processes more, of which each may hide its last reading on a busy machine.
    assert took.cpu_s - alone == pytest.approx(1.0, abs=0.3)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_a_command_leaves_running_is_seen_and_its_code_is_its_own() -> None:
    took = run(BURN + "print('out')\nif os.fork() == 0: burn(0.2); os._exit(0)\nsys.exit(3)")
    assert (took.code, took.output, took.processes) == (3, "out\n", 2)


def test_texts_are_the_same_each_time_and_as_long_as_real_ones() -> None:
    found = texts(5_000)
    words = np.array([len(text.split()) for text in found])
    assert found[:500] == texts(5_000)[:500]
    assert 27 <= np.median(words) <= 33
    assert 0.005 <= (words > 300).mean() <= 0.015
