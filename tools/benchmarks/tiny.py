"""Small configs of the benchmarks: the same classes and options as the default ones, in seconds on a CPU."""

from __future__ import annotations

import shlex
from pathlib import Path

import measure


def pretraining(folder: Path) -> Path:
    """Write the default pretraining config with a narrow model and small views."""
    cfg = measure.read_config(measure.ROOT / 'configs' / 'pretrain' / 'flsl_vit-s16.py')
    cfg.model.backbone.update(arch=dict(embed_dim=16, depth=2, num_heads=2), img_size=64)
    cfg.model.head.update(in_channels=16, hidden_channels=(16,), bottleneck_channels=8, num_prototypes=8)
    cfg.model.data_preprocessor.update(global_crops=dict(size=64), local_crops=dict(size=32))
    cfg.train_dataloader.dataset.size = 64
    cfg.dump(folder / 'tiny.py')
    return folder / 'tiny.py'


def detection(folder: Path) -> Path:
    """Write the default detection config with less in it: a narrow backbone and few boxes."""
    import detector

    cfg = measure.read_config(detector.CONFIG)
    cfg.model.backbone.update(arch=dict(embed_dim=16, depth=4, num_heads=2), out_indices=(0, 1, 2, 3), img_size=64)
    cfg.model.neck[0].in_channels = 16
    cfg.model.neck[1].in_channels = [16] * 4
    cfg.model.train_cfg.rpn_proposal.max_per_img = 20
    cfg.model.train_cfg.rcnn.sampler.num = 16
    cfg.model.test_cfg.rpn.max_per_img = 20
    cfg.dump(folder / 'tiny_detector.py')
    return folder / 'tiny_detector.py'


def evidence(config: Path, folder: Path) -> Path:
    """Write a pretraining config, with all that its method is, on a narrow model, small views and batches of four."""
    cfg = measure.read_config(config)
    patch_size = cfg.model.backbone.patch_size
    cfg.model.backbone.update(arch=dict(embed_dim=16, depth=1, num_heads=2), img_size=4 * patch_size)
    cfg.model.head.update(hidden_channels=(16,), bottleneck_channels=8, num_prototypes=8)
    cfg.model.data_preprocessor.global_crops.size = cfg.train_dataloader.dataset.size = 4 * patch_size
    cfg.model.data_preprocessor.local_crops.size = 3 * patch_size
    cfg.train_dataloader.update(batch_size=4, num_workers=0, persistent_workers=False)
    cfg.dump(folder / config.name)
    return folder / config.name


def options(script: str, folder: Path) -> list[str]:
    """Return the options that make a benchmark small; given behind its own, they take the place of those."""
    if script == 'vos.py':
        return shlex.split('--device cpu --repeats 1 --arch tiny --height 32 --width 64')
    if script == 'detector.py':
        small = shlex.split('--device cpu --repeats 1 --height 60 --width 90 --objects 2 --candidates 5')
        return [*small, '--config', str(detection(folder))]
    if script == 'loader.py':
        small = shlex.split('--repeats 1 --workers 0 1 --batch-size 2 --rounds 1 --images 2 --iterations 1')
    else:
        small = shlex.split('--device cpu --repeats 1 --batch-size 2')
    return [*small, '--config', str(pretraining(folder))]
