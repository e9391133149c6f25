"""Convert weights between this package's layout, the official FLSL one and timm's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsl_mm.utils.terminal import say

from . import command_line
from .model_options import check_writable
from .parser import Parser

if TYPE_CHECKING:
    from torch import Tensor

    from flsl_mm.evaluation.features import FeatureExtractor

TARGETS = ('flsl', 'official', 'timm')

MAX_CENTER_IMAGES = 800
"""Images of which the mean token is taken, at equal distances in the folder."""


EPILOG = """\
The layout of SRC is found by itself: files of this package, official FLSL, DINO, DeiT, timm, mmpretrain, mmdet and
detectron2 detectors with an FLSLViT. Nothing is downloaded, and code inside SRC is not run.
"""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument('src', type=Path, metavar='SRC', help='checkpoint to read')
    parser.add_argument('dst', type=Path, metavar='DST', help='file to write')
    parser.add_argument(
        '--to',
        required=True,
        choices=TARGETS,
        help='flsl: training checkpoint with both branches if SRC is an FLSL one, else a backbone file; '
        'official: student and teacher as the official program saves them; '
        'timm: bare tensors for a timm VisionTransformer with class_token=False',
    )
    parser.add_argument(
        '--branch',
        choices=('teacher', 'student'),
        help="keep only this branch's backbone (default: all that the target can hold; for timm the teacher)",
    )
    parser.add_argument('--heads', type=int, help='number of attention heads, if SRC does not say')
    change = parser.add_argument_group('changes to a backbone file, with --to flsl (docs/weights.md)')
    change.add_argument(
        '--pos-scale',
        type=float,
        metavar='S',
        help='scale of sine-cosine positions; less tells less of place, 0 nothing',
    )
    change.add_argument(
        '--center',
        type=Path,
        metavar='FOLDER',
        help='take the mean token of its images off the last norm: cosines are about the middle of all features then',
    )
    change.add_argument('--half', action='store_true', help='round all tensors but positions to float16')
    parser.add_argument('--force', action='store_true', help='overwrite DST')
    parser.add_argument('--traceback', action='store_true', help='show where an error comes from')
    return parser.parse_args(argv)


def convert(args: argparse.Namespace) -> None:
    """Convert a file and say what was written.

    Raises:
        ValueError: If SRC cannot be read or converted, or is DST.
        OSError: If SRC does not exist, DST exists without ``--force`` or cannot be written.
    """
    from flsl_mm import checkpoint

    if args.dst.exists() and not args.force:
        raise FileExistsError(f'{args.dst} exists: choose another name or give --force')
    content = checkpoint.read_checkpoint(args.src)
    try:
        converted = getattr(checkpoint, f'to_{args.to}')(content, args.branch, args.heads)
        if args.pos_scale is not None or args.center or args.half:
            converted = changed(converted, args.pos_scale, args.center, args.half)
    except checkpoint.CheckpointError as error:
        raise checkpoint.CheckpointError(f'{args.src}: {error}') from None
    check_writable(args.dst, args.src)
    checkpoint.write_checkpoint(converted, args.dst)
    say(f'{args.src} -> {args.dst} ({args.to}): {summary(converted)}')


def changed(converted: dict, pos_scale: float | None, center: Path | None, half: bool) -> dict[str, Any]:
    """Change a backbone file as the options say.

    Args:
        converted: Content of the file.
        pos_scale: New scale of its sine-cosine positions.
        center: Folder of images whose mean token is taken off the last norm's bias.
        half: Round all tensors but positions to float16.

    Raises:
        CheckpointError: If it is no backbone file.
        ValueError: If its positions are learned, or the scale is negative.
        FileNotFoundError: If there is no image in the folder.
    """
    from dataclasses import replace

    from flsl_mm.checkpoint import CheckpointError, backbone_file, find_backbone
    from flsl_mm.evaluation.features import FeatureExtractor
    from flsl_mm.models import BackboneSpec, FLSLViT
    from flsl_mm.models.spec import IMAGENET_MEAN, IMAGENET_STD

    if 'meta' not in converted or 'format' not in converted['meta']:
        raise CheckpointError('--pos-scale, --center and --half change backbone files: add --to flsl --branch teacher')
    found = find_backbone(converted)
    spec: BackboneSpec = found.spec
    tensors = {name: tensor.float() for name, tensor in found.tensors.items()}
    if pos_scale is not None:
        spec = replace(spec, pos_scale=pos_scale)
    backbone = FLSLViT.from_spec(spec)
    if pos_scale is not None:
        tensors['pos_embed'] = backbone.pos_embed.detach().clone()
    backbone.load_state_dict(tensors)
    if center:
        source = FeatureExtractor(backbone.eval(), spec.mean or IMAGENET_MEAN, spec.std or IMAGENET_STD, 'SRC')
        backbone.norm.bias.data -= mean_token(source, center)
    content = backbone_file(backbone, spec.mean, spec.std, spec.value_range)
    if half:
        state = content['state_dict']
        content['state_dict'] = {name: t if name == 'pos_embed' else t.half() for name, t in state.items()}
    return content


def mean_token(source: FeatureExtractor, folder: Path) -> Tensor:
    """Return the mean of the features (C,) of a folder's images, each made a square of the size that positions have."""
    from flsl_mm.datasets.folder import find_images
    from flsl_mm.datasets.image_file import ImageError
    from flsl_mm.utils.terminal import progress

    paths = find_images(folder, advice='the images whose mean token is taken', logger='silent')
    tokens = []
    for path in progress(list(paths)[:: -(-len(paths) // MAX_CENTER_IMAGES)], 'mean token', 'image', leave=False):
        try:
            image = source.transform(path, (source.spec.img_size,) * 2)
        except ImageError as error:
            say(f'left out: {error}', error=True)
            continue
        tokens.append(source.features(image[None]).mean((0, 1, 2)))
    if not tokens:
        raise ValueError(f'none of the images in {folder} can be read')
    return sum(tokens) / len(tokens)


def summary(converted: dict) -> str:
    """Describe what a converted checkpoint holds."""
    states = {key: converted[key] for key in ('state_dict', 'student', 'teacher') if key in converted}
    return ', '.join(f'{key} {len(state)} tensors' for key, state in (states or {'backbone': converted}).items())


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(convert, parse_args(argv), mmengine=False)
