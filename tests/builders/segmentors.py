"""Tiny folders of images and masks, and a tiny segmentor on them."""

from pathlib import Path

import numpy as np
from mmengine.config import Config
from PIL import Image

CLASSES = ('red', 'green', 'blue')
COLORS = np.array([(220, 30, 30), (30, 220, 30), (30, 30, 220), (0, 0, 0)], np.uint8)
ROOT = Path(__file__).parents[2]


def write_folder(root: Path, images: int = 4, hw: tuple[int, int] = (40, 48)) -> Path:
    """Write images of squares whose color is their class; the first row of each mask is 11, unlabeled."""
    rng = np.random.default_rng(0)
    for split in ('train', 'val'):
        for kind in ('images', 'annotations'):
            (root / kind / split).mkdir(parents=True)
        for index in range(images):
            cells = rng.integers(3, size=(hw[0] // 8, hw[1] // 8)).astype(np.uint8)
            mask = cells.repeat(8, 0).repeat(8, 1)
            Image.fromarray(COLORS[mask]).save(root / 'images' / split / f'{index}.jpg', quality=95)
            mask[:8] = 11
            Image.fromarray(mask).save(root / 'annotations' / split / f'{index}.png')
    return root


def tiny_config(root: Path, work_dir: Path, name: str = 'fpn_flsl-vit-t8d4_camvid', epochs: int = 2) -> Config:
    """Make a config of the repository tiny: two blocks of width 16, crops of 32, two steps per epoch."""
    cfg = Config.fromfile(ROOT / f'configs/seg/{name}.py')
    cfg.model.backbone.update(arch=dict(embed_dim=16, depth=4, num_heads=2), img_size=32)
    cfg.model.data_preprocessor.size = (32, 32) if name.startswith('fpn') else (64, 64)
    cfg.model.decode_head.num_classes = len(CLASSES)
    if cfg.model.get('neck'):
        cfg.model.neck[0].in_channels = 16
        cfg.model.neck[1].update(in_channels=[16] * 4, out_channels=8)
        cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)
    else:
        cfg.model.decode_head.in_channels = 16
    data = dict(type='FLSLSegmentationDataset', data_root=str(root), metainfo=dict(classes=CLASSES), unlabeled=[11])
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.update(data)
    cfg.train_dataloader.batch_size = 2
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        for step in loader.dataset.pipeline:
            if 'scale' in step:
                step.scale = (48, 40)
            if 'crop_size' in step:
                step.update(crop_size=(32, 32), cat_max_ratio=1.0)
    cfg.train_cfg.update(max_epochs=epochs, val_interval=epochs)
    cfg.param_scheduler = cfg.param_scheduler[1:]
    cfg.param_scheduler[0].end = epochs
    cfg.default_hooks.checkpoint.interval = 1
    cfg.update(
        work_dir=str(work_dir), experiment_name=f'seg-{work_dir.parent.name}-{work_dir.name}', log_level='WARNING'
    )
    return cfg
