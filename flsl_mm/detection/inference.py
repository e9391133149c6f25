"""A trained detector on single images, through mmdet's inferencer."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
from mmdet.apis import DetInferencer
from mmengine.config import Config
from pycocotools import mask as rle

from flsl_mm.engine.safe_loading import safe_mmengine_loading


class Detector:
    """Detects objects in images.

    Args:
        cfg: Its config; changed.
        weights: Checkpoint of its training.
        device: Where it computes.

    Attributes:
        model: The detector.
    """

    def __init__(self, cfg: Config, weights: str | os.PathLike, device: str) -> None:
        cfg.visualizer = dict(type='DetLocalVisualizer')
        with safe_mmengine_loading():
            # The palette of the config is that of its data set, which would be built for it.
            self.inferencer = DetInferencer(cfg, os.fspath(weights), device, palette='random')
        self.inferencer.show_progress = False
        self.model = self.inferencer.model

    def __call__(self, image: np.ndarray) -> Any:
        """Return mmdet's data sample of an image (H, W, 3), uint8, RGB."""
        return self.inferencer(image[..., ::-1].copy(), return_datasamples=True)['predictions'][0].cpu()

    def draw(self, image: np.ndarray, sample: Any, path: str | os.PathLike, score: float) -> None:
        """Write an image with what was detected with at least a score."""
        with warnings.catch_warnings():
            warnings.filterwarnings('ignore', message='.* is out of bounds')  # boxes end at the image's last pixel
            self.inferencer.visualizer.add_datasample(
                'image', image, sample, draw_gt=False, pred_score_thr=score, out_file=os.fspath(path)
            )

    def describe(self, sample: Any) -> dict[str, Any]:
        """Return what was detected, by falling score, as plain types.

        Returns:
            ``detections``: dicts of ``label``, ``class``, ``score``, ``box`` (left, top, right, bottom in pixels) and,
            where the detector has masks, ``mask`` (COCO's run-length encoding).
        """
        found = sample.pred_instances
        classes = self.model.dataset_meta.get('classes', ())
        detections = []
        for index in found.scores.argsort(descending=True).tolist():
            label = int(found.labels[index])
            detection = {
                'label': label,
                'class': classes[label] if label < len(classes) else str(label),
                'score': round(float(found.scores[index]), 4),
                'box': [round(side, 2) for side in found.bboxes[index].tolist()],
            }
            if 'masks' in found:
                encoded = rle.encode(np.asfortranarray(np.asarray(found.masks[index]), dtype=np.uint8))
                detection['mask'] = dict(encoded, counts=encoded['counts'].decode())
            detections.append(detection)
        return dict(detections=detections)
