"""What a process that computes has to find in its environment as it starts; the rest it tells itself (studio/worker/main.py)."""

from __future__ import annotations

import os

# Of glibc, see "Memory Allocation Tunables" in its manual; other C libraries do not read them.
# The first two keep what is freed for what comes next: with fresh memory for every tensor a step takes a tenth longer. Blocks of
# more than 32 MiB come from the system and go back to it, which older versions insist on; keeping them too was no faster.
# The others: a block on a boundary of 64 bytes, as torch asks for, leaves crumbs around it, and freed crumbs are kept apart for
# small objects. The block can then never be joined with them again, nor hold another of its own size, and every layer leaves a
# gap. With glibc 2.36 the heap grew to 1.35 to 1.48 times what steps of a Llama of 135M held, and so it grows to 1.14 to 1.20.
_MALLOC = {
    "mmap_threshold": 2**25,
    "trim_threshold": 2**30,
    "mxfast": 0,
    "tcache_count": 0,
}


def computing_environment() -> dict[str, str]:
    """This process's environment, and how the C library of a worker with a model shall manage memory where a person did not say.

    Not of other workers: what takes many small objects was a quarter (tokenizing) to two thirds (reading a table) slower.
    """
    ours = [f"glibc.malloc.{name}={value}" for name, value in _MALLOC.items()]
    # Of two of one name the later one counts.
    return os.environ | {"GLIBC_TUNABLES": ":".join(filter(None, [*ours, os.environ.get("GLIBC_TUNABLES")]))}
