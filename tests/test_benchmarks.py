"""The benchmarks' own instruments: what they count, and that their corpora stay the same."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.corpus import texts
from benchmarks.tree import Took, measure

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


def run(program: str) -> Took:
    return measure([sys.executable, "-c", program], os.environ, Path.cwd())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_cpu_time_of_daemons_whose_parents_ignore_them_is_counted() -> None:
    alone = run(BURN + "burn(0.2)").cpu_s
    took = run(BURN + DAEMON)
    assert took.processes == 3
    # Two processes more, of which each may hide its last tick.
    assert took.cpu_s - alone == pytest.approx(1.0, abs=0.15)


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
