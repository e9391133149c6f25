"""The backbone in detectron2, for LazyConfigs and yacs configs; imports detectron2, models, checkpoint and scenes.

Nothing in the package imports this module, and it needs no OpenMMLab package.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog, get_detection_dataset_dicts
from detectron2.data.datasets import load_coco_json
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, FPN, Backbone
from detectron2.modeling.backbone.fpn import LastLevelMaxPool, LastLevelP6P7
from torch import Tensor, nn

from .checkpoint import CheckpointError, check_strict, find_backbone, load_backbone, read_checkpoint, start_anew
from .models import BackboneSpec, FLSLViT, FLSLViTPyramid
from .models.input_check import input_mismatch, rounded

LOGGER = logging.getLogger('detectron2.flsl_mm')
"""Under detectron2's own logger, whose messages its programs show and keep."""

CLASS_LAYERS = re.compile(
    r'(.*\.)?(box_predictor(\.\d+)?\.(cls_score|bbox_pred)|mask_head\.predictor|sem_seg_head\.predictor|head\.cls_score)\.'
)
"""Names of the tensors whose first dimension depends on the number of classes, in detectron2's detectors."""

LAZY_INPUT = dict(mean='model.pixel_mean', std='model.pixel_std', format='dataloader.train.mapper.image_format')
YACS_INPUT = dict(mean='MODEL.PIXEL_MEAN', std='MODEL.PIXEL_STD', format='INPUT.FORMAT')
"""Where LazyConfigs and yacs configs say how images are read and normalized."""


class FLSLBackbone(Backbone):
    """FLSL's ViT and pyramid as the ``bottom_up`` of detectron2's FPN; outputs ``res2`` to ``res5``.

    Weights come through ``checkpoint``, all of them or an error. A checkpoint that detectron2 loads must hold the whole
    backbone too, where detectron2 itself would load what fits and go on with a warning.

    Args:
        arch: As of :class:`~flsl_mm.models.FLSLViT`.
        patch_size: Side of a patch in pixels.
        checkpoint: File with a backbone, any of ``docs/weights.md``; ``''`` leaves random weights, for training from
            scratch and where the checkpoint of a whole detector follows.
        branch: ``'teacher'`` or ``'student'``, where the file has both.
        out_indices: Blocks whose maps are taken, one per stride.
        strides: Strides of the outputs, powers of 2: stride 4 is ``res2``, 32 is ``res5``.
        final_norm: As of ``FLSLViT``.
        norm: As of :class:`~flsl_mm.models.FLSLViTPyramid`.
        **options: Other arguments of ``FLSLViT``, such as ``drop_path_rate``, ``with_cp``, ``pos_embed``.

    Raises:
        CheckpointError: If the file does not fit, see :func:`~flsl_mm.checkpoint.load_backbone`.
        FileNotFoundError: If there is no such file.
        ValueError: As of ``FLSLViT`` and ``FLSLViTPyramid``, or if maps and strides are not equally many.
    """

    def __init__(
        self,
        arch: str | Mapping = 'small',
        patch_size: int = 16,
        checkpoint: str = '',
        branch: str = 'teacher',
        out_indices: Sequence[int] = (3, 5, 7, 11),
        strides: Sequence[int] = (4, 8, 16, 32),
        final_norm: bool = False,
        norm: str = 'auto',
        **options: Any,
    ) -> None:
        super().__init__()
        # LazyConfigs hand over omegaconf's lists and dicts.
        arch = dict(arch) if isinstance(arch, Mapping) else arch
        self.strides, out_indices = tuple(strides), tuple(out_indices)
        if len(self.strides) != len(out_indices):
            raise ValueError(f'one map per stride: got out_indices {list(out_indices)} for strides {list(strides)}')
        self.vit = FLSLViT(arch, patch_size, out_indices=out_indices, final_norm=final_norm, **options)
        self.pyramid = FLSLViTPyramid(self.vit.embed_dim, patch_size, self.strides, norm)
        if checkpoint:
            load_backbone(self.vit, checkpoint, branch, logger=LOGGER)
        else:
            LOGGER.info('the backbone has random weights until a checkpoint of the detector is loaded: checkpoint=""')

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the maps of normalized images.

        Args:
            images: Normalized images (B, 3, H, W).

        Returns:
            Maps (B, C, ceil(H / stride), ceil(W / stride)) by name.
        """
        return dict(zip(self.output_shape(), self.pyramid(self.vit(images)), strict=True))

    def output_shape(self) -> dict[str, ShapeSpec]:
        """Return channels and stride of each map by name."""
        return {
            f'res{stride.bit_length() - 1}': ShapeSpec(channels=self.vit.embed_dim, stride=stride)
            for stride in self.strides
        }

    @property
    def size_divisibility(self) -> int:
        """Sides of images are padded to a multiple of this, so that each map is twice the next."""
        return max(self.strides)

    def _load_from_state_dict(self, state_dict: Mapping, prefix: str, *args: Any) -> None:
        """Load the tensors of a detector's checkpoint, every one that the backbone has."""
        missing = [name for name in self.state_dict() if prefix + name not in state_dict]
        if missing:
            raise CheckpointError(
                f'the checkpoint lacks {len(missing)} tensors of the backbone, or has them in other shapes, '
                f'{prefix}{missing[0]} for one: give a backbone file as checkpoint= of FLSLBackbone '
                '(yacs: MODEL.FLSL_VIT.CHECKPOINT), and leave train.init_checkpoint (MODEL.WEIGHTS) empty'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def check_input(model: nn.Module, image_format: str) -> None:
    """Compare how a detector's images are read and normalized with how its backbone's file says it saw them.

    Args:
        model: A detector of detectron2; one without an :class:`~flsl_mm.models.FLSLViT` passes.
        image_format: ``image_format`` of the ``DatasetMapper``.

    Raises:
        ValueError: If they differ, or if mapper and model do not name the same order of channels.
    """
    if getattr(model, 'input_format', None) not in (None, image_format):
        raise ValueError(
            f"the mapper reads images as {image_format}, the model's input_format is {model.input_format}: make "
            'image_format in dataloader.train.mapper and in dataloader.test.mapper agree with model.input_format'
        )
    for module in model.modules():
        if isinstance(module, FLSLViT):
            _check_spec(module.spec, image_format, model.pixel_mean.flatten(), model.pixel_std.flatten(), LAZY_INPUT)


def _check_spec(
    spec: BackboneSpec, image_format: str, mean: Sequence[float], std: Sequence[float], names: Mapping[str, str]
) -> None:
    """Raise if images of values 0 to 255 that are read and normalized so are not those of a backbone's training."""
    mean, std = ([float(value) / 255 for value in values] for values in (mean, std))
    mismatch = input_mismatch(spec, mean, std, bgr=image_format != 'RGB')
    if mismatch:
        raise ValueError(
            f'{mismatch}: set {names["mean"]}={rounded(spec.mean, 255)}, {names["std"]}={rounded(spec.std, 255)}, '
            f"{names['format']}='RGB' (and model.input_format='RGB' in a LazyConfig)"
        )


class FLSLDetectionCheckpointer(DetectionCheckpointer):
    """detectron2's checkpointer, which reads files without running code in them and loads whole detectors only.

    Where training starts from the weights of a detector of other classes (``train.init_checkpoint``), the layers for
    its classes start anew.
    """

    starts_training = False

    def load(self, path: str, checkpointables: list[str] | None = None) -> dict:
        """Load a detector; weights alone (``checkpointables=[]``) are those that a training starts from."""
        self.starts_training = checkpointables == []
        return super().load(path, checkpointables)

    def _load_file(self, filename: str) -> dict:
        content = read_checkpoint(filename)
        state = content.get('model')
        if not isinstance(state, Mapping) or not any('.vit.' in name for name in state if isinstance(name, str)):
            find_backbone(content)  # raises where there is none
            raise CheckpointError(
                f'{filename} holds a backbone, not a detector: give it as '
                f"model.backbone.bottom_up.checkpoint={filename} and leave train.init_checkpoint=''"
            )
        others = self._class_tensors if self.starts_training else None
        option = 'model.backbone.bottom_up.checkpoint'
        anew = check_strict(self.model, state, filename, backbone_option=option, class_tensors=others)
        if anew:
            LOGGER.warning(start_anew(self.model, state, anew))
        return content

    def _class_tensors(self) -> dict[str, list[int]]:
        return {name: [0] for name in self.model.state_dict() if CLASS_LAYERS.match(name.removeprefix('module.'))}


def add_flsl_config(cfg: CfgNode) -> None:
    """Add ``MODEL.FLSL_VIT``, the arguments of :class:`FLSLBackbone`, to a yacs config.

    ``EMBED_DIM``, ``DEPTH`` and ``NUM_HEADS`` change ``ARCH`` where they are not 0. ``ALLOW_OTHER_INPUT`` allows images
    of another normalization or order of channels than those of the backbone's training.
    """
    cfg.MODEL.FLSL_VIT = CfgNode(
        dict(
            ARCH='small',
            EMBED_DIM=0,
            DEPTH=0,
            NUM_HEADS=0,
            PATCH_SIZE=16,
            IMG_SIZE=224,
            POS_EMBED='sincos',
            POS_RESIZE='offset',
            CHECKPOINT='',
            BRANCH='teacher',
            OUT_INDICES=[3, 5, 7, 11],
            STRIDES=[4, 8, 16, 32],
            FINAL_NORM=False,
            DROP_PATH_RATE=0.05,
            NORM='auto',
            WITH_CP=False,
            FROZEN_STAGES=-1,
            ALLOW_OTHER_INPUT=False,
        )
    )


@BACKBONE_REGISTRY.register()
def build_flsl_vit_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FLSLBackbone:
    """Build the backbone without FPN from ``MODEL.FLSL_VIT``.

    Raises:
        ValueError: If ``INPUT.FORMAT``, ``MODEL.PIXEL_MEAN`` or ``MODEL.PIXEL_STD`` are not those of the backbone's
            training, or as of :class:`FLSLBackbone`.
    """
    if 'FLSL_VIT' not in cfg.MODEL:
        raise ValueError('the config has no MODEL.FLSL_VIT: call flsl_mm.detectron2.add_flsl_config(cfg) first')
    options = {name.lower(): value for name, value in cfg.MODEL.FLSL_VIT.items()}
    allow_other_input = options.pop('allow_other_input')
    changes = {name: options.pop(name) for name in ('embed_dim', 'depth', 'num_heads')}
    arch = BackboneSpec.from_arch(options.pop('arch')).arch
    arch.update({name: value for name, value in changes.items() if value})
    backbone = FLSLBackbone(arch, in_channels=input_shape.channels, **options)
    if not allow_other_input:
        _check_spec(backbone.vit.spec, cfg.INPUT.FORMAT, cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD, YACS_INPUT)
    return backbone


@BACKBONE_REGISTRY.register()
def build_flsl_vit_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build the backbone with FPN and a coarser map pooled from its last, for the R-CNN family."""
    return _with_fpn(build_flsl_vit_backbone(cfg, input_shape), LastLevelMaxPool(), cfg)


@BACKBONE_REGISTRY.register()
def build_retinanet_flsl_vit_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """Build the backbone with FPN and two coarser maps convolved from ``res5``, for RetinaNet and FCOS."""
    bottom_up = build_flsl_vit_backbone(cfg, input_shape)
    return _with_fpn(bottom_up, LastLevelP6P7(bottom_up.vit.embed_dim, cfg.MODEL.FPN.OUT_CHANNELS), cfg)


def _with_fpn(bottom_up: FLSLBackbone, top_block: nn.Module, cfg: CfgNode) -> FPN:
    names, given = list(bottom_up.output_shape()), list(cfg.MODEL.FPN.IN_FEATURES)
    if names != given:
        raise ValueError(
            f'MODEL.FPN.IN_FEATURES reads {given}, MODEL.FLSL_VIT.STRIDES={list(bottom_up.strides)} gives {names}: a '
            'map without a reader would stop distributed training; for res3 to res5 set STRIDES=[8, 16, 32] and '
            'OUT_INDICES=[5, 7, 11]'
        )
    fpn = cfg.MODEL.FPN
    return FPN(bottom_up, given, fpn.OUT_CHANNELS, norm=fpn.NORM, top_block=top_block, fuse_type=fpn.FUSE_TYPE)


def scenes(root: str, split: str, num: int = 1000, size_hw: Sequence[int] = (192, 192), seed: int = 0) -> list[dict]:
    """Return procedural scenes as data of detectron2, written as COCO data on first use.

    Their metadata is that of the data set ``flsl_scenes_train`` or ``flsl_scenes_val``.

    Args:
        root: Folder; if it exists it is used as it is. Of several processes, which share it, the first writes it.
        split: ``'train'``, 80% of the images, or ``'val'``.
        num: Images of both splits together.
        size_hw: Height and width in pixels.
        seed: Seed of the scenes.
    """
    from .scenes.first_use import ensure_scenes
    from .scenes.output import TreeRequest

    request = TreeRequest(num=num, val_fraction=0.2, seed=seed, size_hw=tuple(size_hw), progress=True)
    ensure_scenes(root, 'coco', request)
    name, annotations = f'flsl_scenes_{split}', f'{root}/annotations/instances_{split}.json'
    for catalog in (DatasetCatalog, MetadataCatalog):
        if name in catalog:
            catalog.remove(name)
    DatasetCatalog.register(name, lambda: load_coco_json(annotations, f'{root}/{split}', name))
    MetadataCatalog.get(name).set(json_file=annotations, evaluator_type='coco')
    return get_detection_dataset_dicts(name, filter_empty=split == 'train')
