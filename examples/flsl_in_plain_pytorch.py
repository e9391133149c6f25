"""FLSL pretraining in plain PyTorch: data, views, student and teacher, losses, optimizer and schedules on one page.

python examples/flsl_in_plain_pytorch.py FOLDER_OF_IMAGES --epochs 300 --batch-size 64 --out backbone.pth

The paper's recipe (arXiv 2306.06203) for one process, without OpenMMLab. For the same seed a run of the Runner has the
same losses; what the Runner adds is several GPUs, mixed precision, exact resuming, checks, logs and probes.
"""

import argparse
import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from flsl_mm.checkpoint import backbone_file, write_checkpoint
from flsl_mm.datasets.decode import decode_teacher_view
from flsl_mm.datasets.folder import find_images
from flsl_mm.models import FLSLHead, FLSLViT
from flsl_mm.selfsup.crops import crop_resize, draw_crop_boxes
from flsl_mm.selfsup.losses import inter_view_loss, intra_view_loss, sharpen, volume_regularizer
from flsl_mm.selfsup.mean_shift import mean_shift
from flsl_mm.selfsup.photometric import PhotometricPolicy, apply_photometric, draw_photometric
from flsl_mm.selfsup.queries import gather_queries, per_image, sample_queries
from flsl_mm.selfsup.teacher import ema_update

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass
class Settings:
    """The paper's settings; sizes in pixels, learning rate for the batch size."""

    arch: str | dict = 'small'
    patch_size: int = 16
    drop_path: float = 0.1
    hidden_channels: tuple[int, ...] = (2048, 2048)
    bottleneck_channels: int = 256
    prototypes: int = 4096
    view_size: int = 224  # of the teacher view
    crops: tuple = ((1, 224, (0.5, 1.0)), (2, 96, (0.05, 0.4)))  # number, size, range of area
    epochs: int = 300
    batch_size: int = 64
    lr: float = 5e-4 * 64 / 256
    weight_decay: tuple[float, float] = (0.04, 0.4)
    momentum: tuple[float, float] = (0.996 ** (64 / 512), 1.0)
    teacher_temp: tuple[float, float, int] = (0.04, 0.07, 30)  # from, to, in how many epochs
    workers: int = 2
    device: str = 'cuda' if torch.cuda.is_available() else 'cpu'


class Images(Dataset):
    """Teacher views, random resized crops: index epoch * len + i gives another crop of image i in each epoch."""

    def __init__(self, folder: str, size: int) -> None:
        self.paths = find_images(folder)
        self.size = size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Tensor:
        random = np.random.default_rng((0, index, 0))
        return decode_teacher_view(self.paths[index % len(self)], self.size, (0.8, 1.0), random)


def make_views(images: Tensor, settings: Settings) -> list[list[Tensor]]:
    """Teacher view, then the student's crops of it by size, each view jittered by itself; of uint8 (B, 3, S, S)."""
    generator = torch.Generator().manual_seed(int(torch.randint(2**62, (1,))))
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))

    def crop(size: int, scale: tuple[float, float]) -> Tensor:
        boxes = draw_crop_boxes(len(images), images.shape[-1], scale, generator)
        return crop_resize(images, boxes.to(images.device), size)

    def jitter(view: Tensor) -> Tensor:
        return (apply_photometric(view, draw_photometric(len(view), PhotometricPolicy(), generator)) - mean) / std

    images = images.float() / 255
    views = [[images], *([crop(size, scale) for _ in range(number)] for number, size, scale in settings.crops)]
    return [[jitter(view) for view in kind] for kind in views]


def flsl_loss(student: nn.ModuleDict, teacher: nn.ModuleDict, views: list, temperature: float) -> dict[str, Tensor]:
    """Cluster patches within each view (intra) and across views by prototypes (inter), all prototypes used (volume)."""
    (teacher_view,), *kinds = views
    queries, modes = [], []
    for kind in kinds:
        tokens = student['backbone'](torch.cat(kind))[-1]
        side = round(tokens.shape[1] ** 0.5)
        q = gather_queries(tokens, sample_queries(len(tokens), (side, side), window=2, device=tokens.device))
        queries.append(per_image(q, len(teacher_view)))
        modes.append(per_image(mean_shift(q, tokens, scale=0.1), len(teacher_view)))
    queries, modes = torch.cat(queries, 1), torch.cat(modes, 1)
    logits = student['head'](modes).flatten(0, 1) / 0.1
    with torch.no_grad():
        tokens = teacher['backbone'](teacher_view)[-1]
        targets = sharpen(teacher['head'](mean_shift(queries, tokens, scale=0.2)), temperature).flatten(0, 1)
    intra, inter = intra_view_loss(queries, modes), inter_view_loss(logits, targets)
    volume = volume_regularizer(logits.softmax(-1).mean(0))
    return dict(loss=0.03 * intra + inter + 5 * volume, intra=intra, inter=inter, volume=volume)


def cosine(progress: float, start: float, end: float) -> float:
    """Move from start to end along half a wave."""
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def train(folder: str, settings: Settings) -> Iterator[tuple[nn.ModuleDict, dict[str, float]]]:
    """Train; after each step, yield the teacher, which is what is kept in the end, and the losses."""
    torch.manual_seed(0)
    size, drop_path = settings.view_size, settings.drop_path
    backbone = FLSLViT(settings.arch, settings.patch_size, size, out_type='tokens', drop_path_rate=drop_path)
    head = FLSLHead(backbone.embed_dim, settings.prototypes, settings.hidden_channels, settings.bottleneck_channels)
    student = nn.ModuleDict(dict(backbone=backbone, head=head)).to(settings.device)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    trained = [parameter for parameter in student.parameters() if parameter.requires_grad]
    matrices, vectors = ([p for p in trained if (p.ndim > 1) == is_matrix] for is_matrix in (True, False))
    groups = dict(params=matrices), dict(params=vectors, weight_decay=0.0)
    optimizer = torch.optim.AdamW(groups, lr=settings.lr)
    dataset, batch = Images(folder, settings.view_size), settings.batch_size
    length = len(dataset) // batch
    total = settings.epochs * length
    warmup = round(0.1 * total)
    for epoch in range(settings.epochs):
        order = epoch * len(dataset) + np.random.default_rng((0, epoch)).permutation(len(dataset))
        loader = DataLoader(dataset, batch, sampler=order.tolist(), num_workers=settings.workers, drop_last=True)
        start, end, epochs = settings.teacher_temp
        temperature = start + (end - start) * min(epoch / (epochs - 1), 1)
        for step, images in enumerate(loader, epoch * length):
            torch.manual_seed(step * (2**32 + 1))  # what a step draws depends on its number alone
            rises = settings.lr * step / max(warmup - 1, 1)
            lr = rises if step < warmup else cosine((step - warmup) / (total - warmup), settings.lr, 1e-6)
            optimizer.param_groups[0].update(lr=lr, weight_decay=cosine(step / total, *settings.weight_decay))
            optimizer.param_groups[1].update(lr=lr)
            losses = flsl_loss(student, teacher, make_views(images.to(settings.device), settings), temperature)
            optimizer.zero_grad()
            losses['loss'].backward()
            for parameter in trained:  # each clipped by its own norm
                nn.utils.clip_grad_norm_([parameter], 3.0)
            if epoch == 0:  # prototypes stay as they are
                student['head'].last_layer.zero_grad()
            optimizer.step()
            ema_update(teacher.parameters(), student.parameters(), cosine(step / total, *settings.momentum))
            yield teacher, {name: float(value.detach()) for name, value in losses.items()}


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder')
    parser.add_argument('--epochs', type=int, default=300)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--out', default='backbone.pth')
    args = parser.parse_args()
    scaled = dict(lr=5e-4 * args.batch_size / 256, momentum=(0.996 ** (args.batch_size / 512), 1.0))
    settings = Settings(epochs=args.epochs, batch_size=args.batch_size, **scaled)
    for step, (teacher, losses) in enumerate(train(args.folder, settings)):  # noqa: B007  the last one is written
        print(step, *(f'{name} {value:.4f}' for name, value in losses.items()))
    write_checkpoint(backbone_file(teacher['backbone'], MEAN, STD), args.out)
