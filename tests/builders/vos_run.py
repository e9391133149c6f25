"""A test run through MMEngine's Runner with the toy backbone; a program too, for several processes."""

import os
import sys
from pathlib import Path

from mmengine.config import Config

from flsl_mm.commands.command_line import build_runner
from flsl_mm.vos import dataset  # noqa: F401  registers the data set

from . import davis_tree  # noqa: F401  registers the backbone

CONFIGS = Path(__file__).parents[2] / 'configs' / 'vos'


def toy_config(data_root: Path, work_dir: Path, launcher: str = 'none') -> Config:
    """Take the shipped config with the toy backbone, small frames and no logger files to speak of."""
    cfg = Config.fromfile(CONFIGS / 'flsl_vit-s16_davis2017.py')
    cfg.model.backbone = dict(type='ToyColorBackbone')
    cfg.model.progress = False
    cfg.test_dataloader.dataset.update(data_root=str(data_root), short_side=64, id_gaps='count')
    cfg.work_dir, cfg.launcher = str(work_dir), launcher
    if launcher != 'none':
        cfg.env_cfg.dist_cfg.backend = 'gloo'
        cfg.model_wrapper_cfg = dict(type='MMDistributedDataParallel', device_ids=None, broadcast_buffers=False)
    return cfg


def run(cfg: Config) -> dict:
    """Test and return the metrics."""
    cfg.experiment_name = '_'.join([*Path(cfg.work_dir).parts[-2:], str(os.getpid())])
    return build_runner(cfg).test()


if __name__ == '__main__':
    run(toy_config(Path(sys.argv[1]), Path(sys.argv[2]), launcher='pytorch'))
