"""Digest of a data set's files, short enough for every checkpoint, that tells about how many have changed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

BUCKETS = 256
"""Sums of a digest; a file belongs to one of them by its name."""

MAX_SIZES = 10_000
"""Files whose sizes are read; of more a part, evenly spaced: each is a request to the file system."""

_DIGITS = 8


def file_digest(names: Sequence[str], size_of: Callable[[int], int]) -> str:
    """Return the digest of files.

    Args:
        names: Their names.
        size_of: Returns the size of a file by its number, in bytes.
    """
    sums = [0] * BUCKETS
    step = -(-len(names) // MAX_SIZES) or 1
    for number, name in enumerate(names):
        encoded = name.encode('utf-8', 'surrogateescape')
        size = size_of(number) if number % step == 0 else 0
        bucket = zlib.crc32(encoded) % BUCKETS
        sums[bucket] = (sums[bucket] + zlib.crc32(encoded + b'\0%d' % size)) % 2**32
    return ''.join(f'{value:0{_DIGITS}x}' for value in sums)


def least_changes(earlier: str, now: str) -> int:
    """Return how many files differ at least between two digests; a file of another name counts in two sums."""
    starts = range(0, max(len(earlier), len(now)), _DIGITS)
    changed = sum(earlier[start : start + _DIGITS] != now[start : start + _DIGITS] for start in starts)
    return -(-changed // 2)
