"""Small detectors of detectron2 on the backbone, and a batch for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.structures import BitMasks, Boxes, Instances
from omegaconf import DictConfig

CONFIGS = Path(__file__).parents[2] / 'configs' / 'detectron2'
ARCH = dict(embed_dim=16, depth=4, num_heads=2)


def small(name: str = 'mask_rcnn_flsl_vit_t16_scenes', checkpoint: str = '') -> DictConfig:
    """Load a config, with a small backbone."""
    cfg = LazyConfig.load(str(CONFIGS / f'{name}.py'))
    bottom_up = cfg.model.backbone.bottom_up
    indices = (0, 1, 2, 3)[-len(bottom_up.strides) :]
    bottom_up.update(arch=ARCH, img_size=64, out_indices=indices, checkpoint=checkpoint)
    if 'in_channels' in cfg.model.backbone.top_block:
        cfg.model.backbone.top_block.in_channels = ARCH['embed_dim']
    return cfg


def built(cfg: DictConfig, seed: int = 0) -> torch.nn.Module:
    """Build the detector of a config on the CPU."""
    torch.manual_seed(seed)
    return instantiate(cfg.model)


def batch(with_masks: bool = True) -> list[dict]:
    """Make an image of 64x96 with two objects of the first class."""
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 96), dtype=np.uint8))
    instances = Instances((64, 96))
    instances.gt_boxes = Boxes(torch.tensor([[4.0, 4.0, 40.0, 40.0], [50.0, 20.0, 90.0, 60.0]]))
    instances.gt_classes = torch.zeros(2, dtype=torch.long)
    if with_masks:
        masks = torch.zeros(2, 64, 96, dtype=torch.bool)
        masks[0, 4:40, 4:40] = masks[1, 20:60, 50:90] = True
        instances.gt_masks = BitMasks(masks)
    return [dict(image=image, instances=instances, height=64, width=96)]


def predicted(model: torch.nn.Module) -> Instances:
    """Return what a detector finds on the image of :func:`batch`."""
    with torch.no_grad():
        return model.eval()(batch())[0]['instances']
