"""How many cores are free: what others take of the machine is left to them."""

import os
import subprocess
import sys

from perm_cli.judges.cores import free_cores

CORES = len(os.sched_getaffinity(0))


def test_there_is_always_one_core_and_never_more_than_there_are() -> None:
    """An engine without a thread would never answer."""
    assert 1 <= free_cores() <= CORES


def test_cores_that_others_use_are_not_free() -> None:
    """Every core has three processes on it that want it whole, so what is left is a part of what there is."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * CORES)]
    try:
        assert free_cores() <= max(CORES // 2, 1)
    finally:
        for process in busy:
            process.kill()
            process.wait()
