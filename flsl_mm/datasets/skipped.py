"""List of the image files that a run could not use, shared by its processes."""

from __future__ import annotations

import os

from flsl_mm.utils.fileio import open_in_place

try:
    import fcntl
except ModuleNotFoundError:  # not on this system: two workers may list a file at the same moment
    fcntl = None


class SkippedLog:
    """A list of skipped files, one line ``path<TAB>reason`` each, to which several processes add.

    What others have added is read once, from where this process had come to: a list may have a hundred thousand lines.

    Args:
        log: The list; it need not exist.
    """

    def __init__(self, log: str | os.PathLike) -> None:
        self.log = log
        self._listed: set[bytes] = set()
        self._place = 0

    def add(self, path: str, reason: str) -> bool:
        """Add a line unless the list has the file.

        Args:
            path: Path of the skipped file.
            reason: Why it was skipped, one line.

        Returns:
            Whether the file was new.
        """
        name = os.fsencode(' '.join(path.splitlines()))
        if name in self._listed:
            return False
        with open_in_place(self.log) as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(self._place)
            self._listed.update(row.rpartition(b'\t')[0] for row in file)
            is_new = name not in self._listed
            if is_new:
                file.write(name + b'\t' + reason.encode('utf-8', 'backslashreplace') + b'\n')
                self._listed.add(name)
            self._place = file.tell()
        return is_new


def read_skipped(log: str | os.PathLike) -> dict[str, str]:
    """Read the list of skipped files: path -> reason, each file once; empty where no file was skipped."""
    if not os.path.exists(log):
        return {}
    with open(log, 'rb') as lines:
        rows = (os.fsdecode(line.rstrip(b'\n')).rsplit('\t', 1) for line in lines)
        return dict(row for row in rows if len(row) == 2)
