"""Embed a folder of images into a file; an interrupted run continues."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np

from flsl_mm.datasets.folder import PathList, find_images
from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.evaluation.probes.images import feature_maps, fitted
from flsl_mm.utils.work_folder import LOCK, locked_folder

from .journal import Journal, discard, has_commits
from .table import Embeddings, check_patches, patch_file, read_embeddings

DIGEST_CHARS = 32
"""Hexadecimal digits of SHA-256 that tell models and lists of images apart."""


@dataclass(frozen=True)
class EmbeddingSettings:
    """What embeddings depend on, besides the bytes of the images.

    Attributes:
        model: Digest of the weights and of what the model does with them.
        images: Digest of the list of images.
        size: Most pixels of the shorter side.
        patches: Whether the patch tokens are kept.
    """

    model: str
    images: str
    size: int
    patches: bool


def embed(
    model: FeatureExtractor,
    folder: Path,
    out: Path,
    size: int = 224,
    patches: bool = False,
    force: bool = False,
    interval: float = 10.0,
    logger: logging.Logger | str = 'current',
) -> Embeddings:
    """Embed every image below a folder, and go on where an earlier call was killed.

    Images keep their shape and are never enlarged: the shorter side becomes at most ``size`` pixels, both sides whole
    patches. What is done is committed to the folder ``OUT.partial``. A finished file of the same settings is read.

    Args:
        model: The model.
        folder: Folder of images, flat or nested.
        out: File to write, ``.npz`` or ``.parquet``; its folder must exist. Patch tokens go beside it, float16.
        size: Most pixels of the shorter side.
        patches: Whether to keep the patch tokens.
        force: Whether to overwrite what is there.
        interval: Seconds between two commits.
        logger: Where it is logged which files of the folder are left out.

    Returns:
        What the file holds.

    Raises:
        FileNotFoundError: If there is no such folder or no image in it.
        ValueError: If no image can be used, features are not finite, or a finished or begun file has other settings.
        BlockingIOError: If another program is making the file.
        OSError: If the files cannot be written.
    """
    found = find_images(folder, advice='a folder of images, flat or nested', logger=logger)
    names = (found.name(index) for index in range(len(found)))
    settings = asdict(EmbeddingSettings(model_digest(model), _digest(map(_bytes, names)), size, patches))
    working = out.with_name(f'{out.name}.partial')
    if working.is_symlink():
        raise ValueError(f'{working} is a link: remove it')
    if out.exists() and not force:
        return _read_finished(out, settings)
    if patches and not force and patch_file(out).exists() and not has_commits(working):
        raise FileExistsError(f'{patch_file(out)} exists, without {out}: choose another name or give --force')
    with locked_folder(working, advice='wait for that command, end it, or give --out another'):
        if force:
            discard(working)
        finished = _embed(model, found, out, working, settings, interval)
        discard(working)
    (working / LOCK).unlink(missing_ok=True)
    discard(working)
    return finished


def _embed(
    model: FeatureExtractor, found: PathList, out: Path, working: Path, settings: dict, interval: float
) -> Embeddings:
    """Embed what is not done yet, in a folder that nobody else works in, and write the file."""
    folder, images, patches = Path(found.root), list(map(Path, found)), settings['patches']
    journal = Journal(working, settings, patch_file(out) if patches else None, interval)
    try:
        first = journal.done
        unusable = _RelativeNames(journal.skipped, folder)
        read = partial(fitted, size=settings['size'], patch_size=model.patch_size)
        for index, features in feature_maps(model, images[first:], read, unusable):
            values = features.float().cpu().numpy()
            _check_finite(values, images[first + index], patches)
            journal.append(first + index, values)
        journal.done = len(images)
        journal.commit()
    finally:
        journal.close()
    rows, mean = journal.table(model.embed_dim)
    if not len(rows):
        raise ValueError(f'none of the {len(images)} images in {folder} can be read: {next(iter(unusable.values()))}')
    counts = rows[:, 1] * rows[:, 2]
    finished = Embeddings(
        mean=mean,
        paths=[found.name(index) for index in rows[:, 0]],
        grid_hw=rows[:, 1:],
        patch_start=np.cumsum(counts) - counts,
        folder=str(folder.resolve()),
        settings=settings,
        skipped=dict(journal.skipped),
    )
    if patches:
        out.unlink(
            missing_ok=True
        )  # an earlier file would not fit the new patch tokens, if the next step were not reached
        journal.finish_patches(model.embed_dim)
    finished.write(out)
    return finished


def _check_finite(features: np.ndarray, image: Path, as_float16: bool) -> None:
    """Raise ValueError before a feature is written that is no number."""
    greatest = np.abs(features).max()
    if not np.isfinite(greatest):
        raise ValueError(f'the features of {image} are not finite: the model, or its mean and std, cannot be used')
    if as_float16 and greatest > np.finfo(np.float16).max:
        raise ValueError(f'the features of {image} reach {greatest:.3g}, beyond float16: embed without --patches')


def _read_finished(out: Path, settings: dict) -> Embeddings:
    """Read a finished file if it is of these settings."""
    try:
        finished = read_embeddings(out)
    except ValueError as error:
        raise ValueError(f'{error}: choose another name or give --force') from None
    if differing := [name for name, value in settings.items() if finished.settings.get(name) != value]:
        raise ValueError(
            f'{out} exists, made with other settings ({", ".join(differing)}): choose another name or give --force'
        )
    if settings['patches']:
        check_patches(out, finished)
    return finished


class _RelativeNames(dict):
    """Notes reasons under names relative to a folder, as embeddings keep them."""

    def __init__(self, named: dict[str, str], folder: Path) -> None:
        super().__init__(named)
        self.named, self.folder = named, folder

    def __setitem__(self, path: str, reason: str) -> None:
        name = Path(path).relative_to(self.folder).as_posix()
        super().__setitem__(name, reason)
        self.named[name] = reason


def model_digest(model: FeatureExtractor) -> str:
    """Distinguish models: a digest of weights, geometry and normalization."""
    tensors = model.backbone.state_dict()
    parts = (tensor.detach().cpu().contiguous().numpy().tobytes() for tensor in tensors.values())
    value_range = [] if model.value_range is None else [repr(model.value_range).encode()]
    return _digest((repr(model.spec).encode(), *value_range, *parts))


def _bytes(name: str) -> bytes:
    return name.encode('utf-8', 'surrogateescape')


def _digest(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:DIGEST_CHARS]
