"""Table of export formats: how each file is written, checked and loaded."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from flsl_mm.checkpoint import backbone_content, write_safetensors
from flsl_mm.evaluation.features import FeatureExtractor, load_model
from flsl_mm.utils.fileio import atomic_writer

from . import graphs, timm_file
from .check import Difference, check, compare, other_hw, recorded_hw

Size = tuple[int, int] | None


@dataclass(frozen=True)
class Target:
    """A kind of file.

    Attributes:
        suffix: Ending of its name.
        what: What it is, in a few words.
        write: Writes a model to a path, for images of a size or, with None, as the kind can.
        differences: Loads what was written for a size and compares it with the model, at all sizes that it is for.
        usage: Lines that say how the file at a path is used.
        ready: Raises ImportError if a package is missing.
    """

    suffix: str
    what: str
    write: Callable[[FeatureExtractor, Path, Size], None]
    differences: Callable[[FeatureExtractor, Path, Size], list[Difference]]
    usage: Callable[[FeatureExtractor, Path, Size], list[str]]
    ready: Callable[[], None] = lambda: None

    def check_name(self, path: Path) -> None:
        """Raise ValueError for a name with another ending, by which programs choose how a file is read."""
        ending = Path(f'a{self.suffix}').suffix
        if path.suffix != ending:
            raise ValueError(f'{path} is to be {self.what}: give it a name that ends in {ending}')

    def export(self, model: FeatureExtractor, path: Path, size_hw: Size = None) -> list[Difference]:
        """Write a model, check what was written, and only then give the file its name.

        Raises:
            ExportError: If the file gives other features; nothing is left then.
            OSError: If it cannot be written.
        """
        # Not beside `path`, where a kill would leave it.
        with TemporaryDirectory() as folder:
            written = Path(folder) / path.name
            self.write(model, written, size_hw)
            differences = self.differences(model, written, size_hw)
            for difference in differences:
                check(difference)
            with written.open('rb') as source, atomic_writer(path) as file:
                shutil.copyfileobj(source, file)
        return differences


def _graph(
    suffix: str,
    what: str,
    write: Callable[[FeatureExtractor, Path, Size], None],
    load: Callable[[Path], Callable],
    lines: Callable[[Path], list[str]],
    ready: Callable[[], None] = lambda: None,
) -> Target:
    """Make the target of a graph, which pads and resizes positions by itself and normalizes images."""

    def differences(model: FeatureExtractor, path: Path, size_hw: Size) -> list[Difference]:
        exported = load(path)
        sizes = [size_hw] if size_hw else [recorded_hw(model.spec), other_hw(model.spec)]
        return [compare(model, exported, size, batch) for batch, size in enumerate(sizes, start=1)]

    def usage(model: FeatureExtractor, path: Path, size_hw: Size) -> list[str]:
        sides = 'x'.join(map(str, size_hw)) if size_hw else f'of any size above {model.patch_size} pixels'
        return [*lines(path), f'# images: float (B, 3, H, W), RGB 0 to 1, {sides}; features: (B, h, w, C)']

    return Target(suffix, what, write, differences, usage, ready)


def _write_safetensors(model: FeatureExtractor, path: Path, size_hw: Size) -> None:
    write_safetensors(backbone_content(model.backbone.state_dict(), model.spec), path)


def _safetensors_differences(model: FeatureExtractor, path: Path, size_hw: Size) -> list[Difference]:
    exported = load_model(path, logger='silent')
    return [compare(model, exported, size) for size in (recorded_hw(model.spec), other_hw(model.spec))]


def _timm_differences(model: FeatureExtractor, path: Path, size_hw: Size) -> list[Difference]:
    """Compare the file at its size, and one of another size at that; timm resizes positions in a way of its own."""
    own_hw, another_hw = size_hw or recorded_hw(model.spec), other_hw(model.spec)
    another = path.with_name(f'another_{path.name}')
    timm_file.write_timm(model, another, another_hw)
    return [
        compare(model, timm_file.load_timm(model, file, size), size)
        for file, size in ((path, own_hw), (another, another_hw))
    ]


def timm_at_other_size(model: FeatureExtractor, path: Path, size_hw: Size) -> Difference:
    """Compare a timm file with the model at a size that it is not for, where timm resizes the positions."""
    exported = timm_file.load_timm(model, path, size_hw or recorded_hw(model.spec))
    return compare(model, exported, other_hw(model.spec))


def _timm_usage(model: FeatureExtractor, path: Path, size_hw: Size) -> list[str]:
    size_hw = size_hw or recorded_hw(model.spec)
    return [
        'import timm',
        timm_file.timm_line(model, path, size_hw),
        f'# model.forward_features(images): (B, h * w, C) of normalized images of {size_hw[0]}x{size_hw[1]} pixels',
    ]


TARGETS = {
    'timm': Target(
        '_timm.safetensors',
        'weights for timm.create_model, positions for one image size',
        lambda model, path, size_hw: timm_file.write_timm(model, path, size_hw or recorded_hw(model.spec)),
        _timm_differences,
        _timm_usage,
    ),
    'safetensors': Target(
        '.safetensors',
        'weights and geometry for flsl_mm.load_model, any image size',
        _write_safetensors,
        _safetensors_differences,
        lambda model, path, size_hw: ['import flsl_mm', f'model = flsl_mm.load_model({str(path)!r})'],
    ),
    'onnx': _graph(
        '.onnx',
        'graph for ONNX runtimes, any image size or one',
        graphs.write_onnx,
        graphs.load_onnx,
        lambda path: [
            'import onnxruntime',
            f'session = onnxruntime.InferenceSession({str(path)!r})',
            "features, = session.run(['features'], {'images': images})",
        ],
        graphs.check_onnx_packages,
    ),
    'torchexport': _graph(
        '.pt2',
        'graph for torch.export.load on the CPU, any image size or one',
        graphs.write_program,
        graphs.load_program,
        lambda path: ['import torch', f'model = torch.export.load({str(path)!r}).module()', 'features = model(images)'],
    ),
}
"""Kinds of files by the name that the command line has for them."""
