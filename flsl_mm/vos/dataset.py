"""The DAVIS videos (2016 and 2017, semi-supervised) with their frames resized for label propagation."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import numpy as np
from mmengine.logging import print_log
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from .tree import (
    FRAME_SUFFIXES,
    Video,
    find_video,
    input_size,
    read_frame,
    read_object_ids,
    read_video_names,
    visible,
)

SPLIT_FOLDERS = {2016: ('480p', '2016'), 2017: ('2017',)}
"""Folders below ImageSets in which the official trees keep the lists of a year."""


ID_GAPS = ('error', 'count', 'ignore')


@DATASETS.register_module()
class DAVISDataset(Dataset):
    """Videos of a DAVIS or YouTube-VOS tree; one item is one video, decoded.

    The tree is ``JPEGImages/<resolution>/<video>/00000.jpg``, ``Annotations/<resolution>/<video>/00000.png`` and
    ``ImageSets/<year>/<split>.txt`` (2016: ``ImageSets/480p``). Without a folder ``ImageSets`` all videos are
    taken, and the folder of the resolution may be missing, as in YouTube-VOS. All names, frame numbers and sizes are
    checked when the data set is made, before hours of evaluation; see :func:`~flsl_mm.vos.tree.find_video`.

    Args:
        data_root: Folder of the tree.
        year: 2017, masks of object ids, or 2016, masks of one object in which everything but 0 is foreground.
        split: Name of the list without ``.txt``.
        resolution: Folder below ``JPEGImages`` and ``Annotations``.
        mask_folder: Folder of the masks below ``data_root``.
        short_side: Shorter side of the frames in pixels, at least 64; the other is rounded down to a multiple of 64.
        videos: Names of the videos to use, None for all that the list names.
        keep_going: Whether the evaluation continues without videos that have a problem, instead of ending.
        id_gaps: What to do where the ids of the first mask skip numbers that no mask of the video has: ``'error'``,
            ``'count'`` each as the official evaluation does, as a perfect object, or ``'ignore'`` them.

    Raises:
        FileNotFoundError: If the tree or the list of videos is not there.
        ValueError: If an argument is out of range, the list is empty, or (without ``keep_going``) a video has no first
            mask, a gap in its frame numbers or object ids, files of different sizes, or a file or folder that cannot be
            read.
    """

    unit = 'videos'  # what a run says that it has

    def __init__(
        self,
        data_root: str | Path,
        year: int = 2017,
        split: str = 'val',
        resolution: str = '480p',
        mask_folder: str = 'Annotations',
        short_side: int = 480,
        videos: Sequence[str] | None = None,
        keep_going: bool = False,
        id_gaps: str = 'error',
    ) -> None:
        if year not in SPLIT_FOLDERS:
            raise ValueError(f'year must be one of {sorted(SPLIT_FOLDERS)}, got {year!r}')
        if short_side < 64:
            raise ValueError(f'short_side must be at least 64 pixels, got {short_side}')
        if id_gaps not in ID_GAPS:
            raise ValueError(f'id_gaps must be one of {ID_GAPS}, got {id_gaps!r}')
        self.id_gaps = id_gaps
        self.data_root, self.year, self.short_side = Path(data_root), year, short_side
        self.keep_going = keep_going
        self.mask_root, self.frame_root = self._find_masks(mask_folder), self.data_root / 'JPEGImages'
        if (self.frame_root / resolution).is_dir() or not _holds_videos(self.frame_root):
            self.mask_root, self.frame_root = self.mask_root / resolution, self.frame_root / resolution
        self.names = self._select(split, videos)
        self.videos = [self._find(name) for name in self.names]
        pairs = zip(self.names, self.videos, strict=True)
        problems = [f'video {name}: {video}' for name, video in pairs if isinstance(video, str)]
        if problems and not keep_going:
            raise ValueError('; '.join(problems))
        for problem in problems:
            print_log(f'left out: {problem}', logger='current', level=logging.WARNING)

    def _select(self, split: str, videos: Sequence[str] | None) -> list[str]:
        paths = [self.data_root / 'ImageSets' / folder / f'{split}.txt' for folder in SPLIT_FOLDERS[self.year]]
        path = next((path for path in paths if path.is_file()), paths[0])
        if (self.data_root / 'ImageSets').is_dir() or not _holds_videos(self.frame_root):
            listed = read_video_names(path)
        else:
            path, listed = self.frame_root, [path.name for path in visible(self.frame_root) if path.is_dir()]
            line = f'no ImageSets in {self.data_root}: all {len(listed)} videos of {self.frame_root}'
            print_log(line, logger='current')
        unknown = sorted(set(videos or ()) - set(listed))
        if unknown:
            raise ValueError(f'no video {", ".join(unknown)} among the {len(listed)} videos of {path}')
        return [name for name in listed if videos is None or name in videos]

    def _find_masks(self, mask_folder: str) -> Path:
        masks = self.data_root / mask_folder
        unsupervised = 'the masks of the unsupervised task have other objects; label propagation needs Annotations'
        if 'unsupervised' in mask_folder.lower():
            raise ValueError(f'mask_folder {mask_folder!r}: {unsupervised}')
        if not self.data_root.is_dir():
            raise FileNotFoundError(f'no folder {self.data_root}: set data_root to a DAVIS tree (see docs/vos.md)')
        if not masks.is_dir():
            others = sorted(path.name for path in self.data_root.glob('Annotations*'))
            hint = f', only {", ".join(others)}: {unsupervised}' if others else ': the tree is incomplete'
            raise FileNotFoundError(f'no folder {masks}{hint}')
        return masks

    def _find(self, name: str) -> Video | str:
        try:
            video = find_video(name, self.frame_root / name, self.mask_root / name)
            if self.year != 2016 and self.id_gaps == 'error':
                check_ids(video)
            return video
        except (ValueError, OSError) as error:
            return str(error)

    @property
    def metainfo(self) -> dict:
        """What MMEngine hands to evaluators: names of data set and videos, and whether to go on after an error."""
        return dict(dataset_type=f'DAVIS-{self.year}', videos=tuple(self.names), keep_going=self.keep_going)

    def __len__(self) -> int:
        """Return the number of videos."""
        return len(self.names)

    def __getitem__(self, index: int) -> dict:
        """Decode a video.

        Returns:
            ``video`` (name), ``index``, ``count`` (of videos), ``frame_names`` (T,), ``frames`` (T, H, W, 3) uint8
            RGB at the network's size, ``masks`` (M, H0, W0) uint8 object ids at the files' size, ``mask_index`` (M,)
            their frames, and ``object_ids``, those to be scored. Plain arrays, not tensors: they go from worker to main
            process without shared memory, which containers have little of. A video with a problem has ``video``,
            ``index``, ``count`` and ``error``, one line, which the metric raises or collects.
        """
        item = dict(video=self.names[index], index=index, count=len(self))
        video = self.videos[index]
        if isinstance(video, str):
            return dict(item, error=video)
        size_hw = input_size(video.size_hw, self.short_side)
        try:
            frames = np.stack([read_frame(path, size_hw) for path in video.frames])
            masks = np.stack([read_object_ids(path, single_object=self.year == 2016) for path in video.masks])
            if not masks[0].any():
                raise ValueError(f'the first mask {video.masks[0]} shows no object')
        except ValueError as error:
            return dict(item, error=str(error))
        names, index = np.array([path.stem for path in video.frames]), np.array(video.mask_index)
        object_ids = np.arange(1, masks[0].max() + 1)
        if self.id_gaps == 'ignore':
            object_ids = np.intersect1d(object_ids, np.unique(masks))
        return dict(item, frame_names=names, frames=frames, masks=masks, mask_index=index, object_ids=object_ids)


def check_ids(video: Video) -> None:
    """Check that the object ids of a first mask have no gap that no other mask of the video fills.

    Raises:
        ValueError: If they have, or the first mask cannot be read.
    """
    seen = set(np.unique(read_object_ids(video.masks[0], single_object=False)).tolist())
    skipped = set(range(1, max(seen) + 1)) - seen
    for path in video.masks[1:]:
        if not skipped:
            return
        with suppress(ValueError):  # which its item tells
            skipped -= set(np.unique(read_object_ids(path, single_object=False)).tolist())
    if skipped:
        first = ', '.join(map(str, sorted(seen - {0})[:5]))
        raise ValueError(
            f'its masks have the object ids {first} and skip {len(skipped)} below {max(seen)}, each of which counts as '
            'a perfect object in the official evaluation (gray masks that have lost their palette are so): set '
            "test_dataloader.dataset.id_gaps to 'ignore' to leave them out, or 'count'"
        )


def _holds_videos(folder: Path) -> bool:
    """Return whether a folder's own folders hold frames."""
    if not folder.is_dir():
        return False
    folders = (path for path in visible(folder) if path.is_dir())
    return any(file.suffix.lower() in FRAME_SUFFIXES for path in islice(folders, 3) for file in visible(path))
