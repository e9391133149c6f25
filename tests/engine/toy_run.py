"""A toy FLSL model in a real Runner."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.runner import Runner
from torch import Tensor
from torch.utils.data import Dataset

from flsl_mm.selfsup import FLSL
from tests.selfsup.toy import toy_model


class ToyPictures(Dataset):
    """Random pictures; an item is a function of its virtual index."""

    def __init__(self, length: int = 8) -> None:
        self.length = length
        self.metainfo = {}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Tensor | str]:
        generator = torch.Generator().manual_seed(index)
        image = torch.randint(256, (3, 48, 48), generator=generator, dtype=torch.uint8)
        return dict(inputs=image, img_path=f'picture {index}')


def toy_runner(work_dir: Path, hooks: list[dict], model: FLSL | None = None, epochs: int = 2, **options) -> Runner:
    """Build a Runner that trains the toy model on 4 batches of 2 pictures an epoch."""
    settings = dict(
        train_dataloader=dict(dataset=ToyPictures(), sampler=dict(type='FLSLSampler'), batch_size=2, num_workers=0),
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        optim_wrapper=dict(
            type='FLSLOptimWrapper',
            constructor='FLSLOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=1e-3),
            clip_grad=dict(max_norm=3.0),
        ),
        randomness=dict(seed=3),
        log_level='WARNING',
        experiment_name=f'toy-{work_dir.name}',
    )
    return Runner(model or toy_model(), work_dir=str(work_dir), custom_hooks=hooks, **(settings | options))
