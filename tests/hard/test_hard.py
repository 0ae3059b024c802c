"""A short part of the random search; `python -m tests.hard --minutes 30` is the long one."""

import itertools
import os

import pytest

from tests.hard import fuzz, kills, races, soak, strangers

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
FEW = {"fuzz": 60, "kills": 6, "strangers": 300}


@pytest.mark.parametrize("block", range(12))
def test_random_cases_are_right(block):
    numbers = range(block * FEW["fuzz"], (block + 1) * FEW["fuzz"])
    counts, faults = fuzz.search(2026, numbers)
    assert faults == []
    assert sum(counts.values()) == FEW["fuzz"]


@needs_fork
def test_fits_that_are_killed_go_on_or_are_refused():
    counts, faults = kills.search(2026, lambda: False, FEW["kills"])
    assert faults == []
    assert sum(counts.values()) == FEW["kills"]


def test_files_from_strangers_are_refused():
    counts, faults = strangers.search(2026, lambda: False, FEW["strangers"])
    assert faults == []
    assert sum(counts.values()) == FEW["strangers"]


def test_threads_do_not_disturb_each_other():
    rounds = itertools.count()
    counts, faults = races.search(2026, lambda: next(rounds) > 80)
    assert faults == []
    assert counts


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="the system tells no memory")
def test_calls_without_end_leave_memory_and_handles_as_they_were():
    _, faults = soak.search(0, soak.Until(1.0))
    assert faults == []
