"""Measure what frozen patch features know, beside the features that anybody has: random weights, color, position."""

from __future__ import annotations

import argparse
import math
import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flsl_mm.utils.terminal import say

from . import command_line, model_options
from .model_options import positive
from .names import distinct_names
from .parser import Parser

if TYPE_CHECKING:
    from flsl_mm.evaluation.features import FeatureExtractor
    from flsl_mm.evaluation.probes.scores import Probe
    from flsl_mm.models import BackboneSpec

EPILOG = """examples:
  flsl-mm evaluate work_dirs/RUN/epoch_5_backbone.pth                  generated scenes, needs no data
  flsl-mm evaluate FILE --segmentation CAMVID --num-classes 11 --ignore-index 11 --size 240
  flsl-mm evaluate FILE OTHER_FILE --classes TINY_IMAGENET --limit 2000
  flsl-mm evaluate FILE --coco instances_val.json --images val2017 --out table.json
  flsl-mm evaluate none --arch tiny --patch-size 8 --scenes            random weights alone
  flsl-mm evaluate timm:vit_small_patch14_dinov2.lvd142m=model.safetensors   any plain ViT of timm
  flsl-mm evaluate timm:vit_small_patch16_224.dino=pretrained          timm fetches the weights
  flsl-mm evaluate timm:vit_small_patch16_dinov3=none                  timm's network, random weights alone

FILE is any checkpoint of docs/weights.md. What each figure measures and how it can be fooled: docs/evaluation.md
"""

SCENE_SIZE = 128
"""Side of the generated scenes in pixels, about: it is made whole patches of every network."""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = Parser(__doc__, EPILOG)
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help='checkpoints or timm:NAME=FILE, one a column; none: random weights alone',
    )
    data = parser.add_argument_group('data (by default: --scenes)')
    data.add_argument('--scenes', action='store_true', help='generated scenes that no training has seen')
    data.add_argument(
        '--segmentation', metavar='FOLDER', help='images/{train,val}, annotations/{train,val} (PNG masks)'
    )
    data.add_argument(
        '--retrieval',
        nargs='*',
        type=positive,
        metavar='SIZE',
        help='with --segmentation: also by retrieval from memories of these sizes (default: 10000 100000 1000000)',
    )
    data.add_argument(
        '--clusters',
        nargs='?',
        type=positive,
        const=500,
        metavar='K',
        help='with --segmentation: also by K-means, K clusters (default: 500) and as many as classes',
    )
    data.add_argument('--classes', metavar='FOLDER', help='train/CLASS/* and val/CLASS/*')
    data.add_argument(
        '--coco', nargs='+', metavar='JSON', help='COCO annotations; of two, the second is for evaluation in the k-NN'
    )
    data.add_argument('--images', nargs='+', metavar='FOLDER', help='the folder, or one each, of the COCO images')
    settings = parser.add_argument_group('settings')
    settings.add_argument('--size', type=positive, default=224, help='most pixels of the shorter side (default: 224)')
    settings.add_argument('--limit', type=positive, help='images of each split, drawn at random (default: all)')
    settings.add_argument(
        '--num-scenes', type=positive, default=64, help='scenes to evaluate, with as many for the memory'
    )
    settings.add_argument('--num-classes', type=positive, help='of the masks (default: as the masks say)')
    settings.add_argument('--ignore-index', type=int, default=255, help='number in the masks that is not counted (255)')
    settings.add_argument('--class-names', nargs='+', metavar='NAME', help='of the masks, for the IoU of each')
    settings.add_argument('--k', type=positive, default=20, help='number of neighbors (default: 20)')
    settings.add_argument('--temperature', type=float, default=0.07, help='of their weights (default: 0.07)')
    settings.add_argument('--bank', type=positive, default=30_000, help='training patches of the segmentation (30000)')
    settings.add_argument(
        '--search', choices=('exact', 'faiss'), default='exact', help='of --retrieval; same answers (default: exact)'
    )
    settings.add_argument(
        '--official-bbox-knn', action='store_true', help='scale boxes and count top-5 as the original program does'
    )
    settings.add_argument('--seed', type=int, default=0, help='of everything that is drawn (default: 0)')
    settings.add_argument('--random-seeds', type=positive, default=2, help='random networks to average (default: 2)')
    settings.add_argument('--out', type=Path, metavar='JSON', help='file for all figures, settings and versions')
    model_options.add_model_options(parser)
    args = parser.parse_args(argv)
    if (args.retrieval is not None or args.clusters) and not args.segmentation:
        parser.error('--retrieval and --clusters go with --segmentation')
    if bool(args.coco) != bool(args.images):
        parser.error('--coco and --images go together')
    if args.coco and (len(args.coco) > 2 or len(args.images) > len(args.coco)):
        parser.error('--coco takes one or two files, --images one folder for all or one for each')
    return args


def load_models(args: argparse.Namespace, device: str) -> list[FeatureExtractor]:
    """Load the files, each once and under a name of its own."""
    from flsl_mm.evaluation.probes.table import NO_MODELS

    timm = {path: path.startswith(model_options.TIMM) for path in args.files}
    paths = [path for path in timm if path != 'none']
    paths = [path for path in paths if not timm[path] or model_options.timm_model(path)[1] != 'none']
    paths = list({os.path.abspath(path): path for path in paths}.values())
    models = [model_options.load_model_from_args(args, path, device) for path in paths]
    names = distinct_names([model.name for model in models], paths, NO_MODELS)
    for model, name in zip(models, names, strict=True):
        model.name = name
    return models


def geometries(args: argparse.Namespace, models: list[FeatureExtractor]) -> list[BackboneSpec]:
    """Return the different networks among the models, each of which gets a table; without a model, the options'."""
    from flsl_mm.evaluation.features import load_timm_model
    from flsl_mm.models import BackboneSpec

    random = [model_options.timm_model(path) for path in args.files if path.startswith(model_options.TIMM)]
    specs = [model.spec for model in models]
    specs += [load_timm_model(name).spec for name, weights in random if weights == 'none']
    specs = list(dict.fromkeys(specs))
    if not specs:
        patch_size = args.patch_size or 16
        spec = BackboneSpec.from_arch(
            args.arch or 'small',
            patch_size=patch_size,
            img_size=max(1, 224 // patch_size) * patch_size,
            in_channels=3,
            pos_embed='sincos',
            pos_resize='offset',
        )
        specs.append(spec)
    return specs


def build_probes(args: argparse.Namespace, patch_sizes: set[int]) -> list[Probe]:
    """Build the probes that the options ask for, each followed by the diversity of features on its images."""
    from flsl_mm.evaluation.probes import (
        ClassificationProbe,
        ClusteringProbe,
        DiversityProbe,
        ObjectDiscoveryProbe,
        RetrievalProbe,
        ScenesProbe,
        SegmentationProbe,
    )

    neighbors = dict(k=args.k, temperature=args.temperature)
    drawn = dict(limit=args.limit, seed=args.seed)
    probes: list[Probe] = []
    beside: list[Probe] = []  # on images of another probe, whose diversity is said there
    if args.segmentation:
        masks = dict(num_classes=args.num_classes, ignore_index=args.ignore_index, class_names=args.class_names)
        settings = dict(size=args.size, bank_size=args.bank, **masks, **neighbors, **drawn)
        probes.append(SegmentationProbe(args.segmentation, **settings))
        masks = dict(size=args.size, **masks, **drawn)
        if args.retrieval is not None:
            sizes = dict(bank_sizes=args.retrieval) if args.retrieval else {}
            beside.append(RetrievalProbe(args.segmentation, search=args.search, **sizes, **masks))
        if args.clusters:
            settings = dict(num_clusters=args.clusters, bank_size=args.bank)
            beside.append(ClusteringProbe(args.segmentation, **settings, **masks))
    if args.classes:
        probes.append(ClassificationProbe(args.classes, size=args.size, **neighbors, **drawn))
    if args.coco:
        probes.append(ObjectDiscoveryProbe(args.coco[-1], args.images[-1], size=args.size, **drawn))
    if args.scenes or not probes:
        whole = math.lcm(*patch_sizes)
        size = max(1, round(SCENE_SIZE / whole)) * whole
        probes.insert(0, ScenesProbe(args.num_scenes, size, args.seed, **neighbors))
    with_diversity = [
        each
        for probe in probes
        for each in (
            probe,
            DiversityProbe(probe.images, args.size, seed=args.seed, name=probe.title.partition(':')[0]),
        )
    ]
    return with_diversity + beside + bbox_knn(args, patch_sizes)


def bbox_knn(args: argparse.Namespace, patch_sizes: set[int]) -> list[Probe]:
    """Build the bbox-aligned k-NN if there are boxes, or say why they do not allow it."""
    from flsl_mm.evaluation.probes import BBoxKNNProbe

    if not args.coco:
        return []
    val = (args.coco[1], args.images[-1]) if len(args.coco) == 2 else ()
    settings = dict(temperature=args.temperature, official=args.official_bbox_knn, limit=args.limit, seed=args.seed)
    try:
        probe = BBoxKNNProbe(args.coco[0], args.images[0], *val, **settings)
        for patch_size in patch_sizes:
            probe.chance(patch_size)
    except ValueError as error:
        say(f'without bbox-aligned k-NN: {error}', error=True)
        return []
    return [probe]


def environment(device: str) -> dict[str, Any]:
    """Describe which versions computed on which hardware."""
    import numpy
    import timm
    import torch
    import torchvision

    from flsl_mm import __version__

    cpuinfo = Path('/proc/cpuinfo')
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    cpu = next(
        (line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.processor()
    )
    modules = {module.__name__: module.__version__ for module in (torch, torchvision, timm, numpy)}
    gpu = torch.cuda.get_device_name(device) if device.startswith('cuda') else None
    return dict(
        versions=dict(flsl_mm=__version__, python=platform.python_version(), **modules),
        hardware=dict(device=device, gpu=gpu, cpu=cpu, threads=torch.get_num_threads()),
    )


def evaluate(args: argparse.Namespace) -> None:
    """Measure, print the tables and write the file."""
    if args.out:
        model_options.check_writable(args.out, *args.files, *(args.coco or ()))
    from flsl_mm.evaluation.probes import measure, render, trivial_sources
    from flsl_mm.models import TimmSpec
    from flsl_mm.utils.fileio import write_json

    device = model_options.resolve_device(args.device)
    models = load_models(args, device)
    specs = geometries(args, models)
    probes = build_probes(args, {spec.patch_size for spec in specs})
    settings = {name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()}
    report = dict(settings=settings, **environment(device), tables=[])
    for spec in specs:
        alike = [model for model in models if model.spec == spec]
        trivial = trivial_sources(spec, args.random_seeds, device)
        table = dict(models=[model.name for model in alike], network=spec.to_dict(), probes=[])
        report['tables'].append(table)
        for probe in probes:
            say(f'measuring: {probe.title}', error=True)
            table['probes'].append(measure(probe, alike, trivial))
            if args.out:
                write_json(args.out, report)
        positions = 'x'.join(map(str, spec.grid_hw))
        shape = f'{spec.embed_dim} channels, {spec.depth} blocks, patches of {spec.patch_size} pixels'
        name = f'{spec.model_name}: ' if isinstance(spec, TimmSpec) else ''
        say(f'{name}{shape}, positions {positions}')
        say(*render(table['probes']).splitlines(), '')
    skipped = {path: reason for probe in probes for path, reason in probe.skipped.items()}
    model_options.report_skipped(skipped, f': all are listed in {args.out}' if args.out else '')


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code."""
    return command_line.run(evaluate, parse_args(argv), mmengine=False)
