"""A trained segmentor on single images, through mmseg's inferencer."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from mmengine.config import Config
from mmseg.apis import MMSegInferencer

from flsl_mm.engine.safe_loading import safe_mmengine_loading


class Segmentor:
    """Gives each pixel of images a class.

    Args:
        cfg: Its config; changed.
        weights: Checkpoint of its training.
        device: Where it computes.

    Attributes:
        model: The segmentor.
    """

    def __init__(self, cfg: Config, weights: str | os.PathLike, device: str) -> None:
        cfg.visualizer = dict(type='SegLocalVisualizer', alpha=0.6)
        data = cfg.test_dataloader.dataset
        # mmseg leaves its own loading of annotations out.
        data.pipeline = [step for step in data.pipeline if 'Annotation' not in step.type and 'Segment' not in step.type]
        with safe_mmengine_loading():
            self.inferencer = MMSegInferencer(cfg, os.fspath(weights), device=device)
        self.inferencer.show_progress = False
        self.model = self.inferencer.model
        self.inferencer.visualizer.set_dataset_meta(**self.model.dataset_meta)

    def __call__(self, image: np.ndarray) -> Any:
        """Return mmseg's data sample of an image (H, W, 3), uint8, RGB."""
        return self.inferencer(image[..., ::-1].copy(), return_datasamples=True).cpu()

    def draw(self, image: np.ndarray, sample: Any, path: str | os.PathLike, score: float) -> None:
        """Write an image with its classes over it; there is no score."""
        self.inferencer.visualizer.add_datasample('image', image, sample, draw_gt=False, out_file=os.fspath(path))

    def describe(self, sample: Any) -> dict[str, Any]:
        """Return the classes of an image.

        Returns:
            ``label_map``, the class of each pixel (H, W), uint8, and ``shares``, the part of the image that each class
            covers, by falling part.
        """
        label_map = sample.pred_sem_seg.data[0].numpy().astype(np.uint8)
        classes = self.model.dataset_meta.get('classes') or ()
        labels, counts = np.unique(label_map, return_counts=True)
        pairs = sorted(zip(counts.tolist(), labels.tolist(), strict=True), reverse=True)
        names = {label: classes[label] if label < len(classes) else str(label) for label in labels.tolist()}
        return dict(label_map=label_map, shares={names[label]: count / label_map.size for count, label in pairs})
