"""How many cores are free: what a busy machine, a container's quota or another program leaves of them."""

import os
from hashlib import sha256
from threading import Thread
from time import perf_counter, thread_time

_LOOK_S = 0.2
_BLOCK = bytes(2**20)  # hashed without Python's lock, so that threads run at the same time
_SHORT_OF_ONE = 0.2  # what the system itself takes of a core that is free all the same


def free_cores() -> int:
    """
    Return the number of cores that are free now, at least 1.

    As many threads as there are cores work for a fifth of a second, and the processor time they get is counted. The
    threads of an engine wait for each other at every step, so one thread too many costs more than one too few: on
    two cores that a third process shares, two read 44 tokens a second where one reads 94.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    got = [0.0] * count
    started = perf_counter()

    def work(place: int) -> None:
        begun = thread_time()
        while perf_counter() < started + _LOOK_S:
            sha256(_BLOCK).digest()
        got[place] = thread_time() - begun

    threads = [Thread(target=work, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return max(int(sum(got) / (perf_counter() - started) + _SHORT_OF_ONE), 1)
