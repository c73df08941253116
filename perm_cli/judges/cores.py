"""How many cores are free, given other programs and a container's quota."""

import os
from hashlib import sha256
from threading import Thread
from time import perf_counter, thread_time

_MEASURE_S = 0.2
_BLOCK = bytes(2**20)  # hashlib releases the GIL for it, so that the threads run in parallel
_TOLERANCE = 0.2  # of a core: what the system itself uses of one that counts as free


def free_cores() -> int:
    """
    Return the number of cores that are free now, at least 1.

    One thread per core works for a fifth of a second, and the processor time that the threads get is added up. The
    threads of an engine wait for each other at every step, so one thread too many costs more than one too few: on
    two cores shared with another process, two threads read 44 tokens per second where one reads 94.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    got = [0.0] * count
    started = perf_counter()

    def work(place: int) -> None:
        begun = thread_time()
        while perf_counter() < started + _MEASURE_S:
            sha256(_BLOCK).digest()
        got[place] = thread_time() - begun

    threads = [Thread(target=work, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(int(sum(got) / (perf_counter() - started) + _TOLERANCE), 1)
