"""Measures and draws, before and after training, what patch features tell of objects in unseen scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

from flsl_mm.engine.hooks.schedule import training_model
from flsl_mm.evaluation.patch_probe import (
    chance_accuracy,
    knn_accuracy,
    mean_shift_clusters,
    patch_owners,
    same_object_auc,
)
from flsl_mm.visualization.clusters import paint_clusters, picture_grid

from .painter import CLASSES, render_scene


@HOOKS.register_module()
class FLSLPatchProbeHook(Hook):
    """Reports two figures on generated scenes that training never shows, and a picture of the teacher's clusters.

    The figures are the AUC of cosine similarity between patches of the same object and of different ones (0.5 by
    chance), and the accuracy of classifying object patches by their 20 nearest neighbours from other scenes.

    Args:
        num_scenes: Scenes whose patches are classified; as many others are the neighbours.
        size: Side of the scenes in pixels, a multiple of the patch size.
        seed: Seed of the scenes.
        num_pictures: Rows of the picture.
        scale: Multiplies the cosine similarities in the mean shift that finds the clusters.
    """

    priority = 'LOW'

    def __init__(
        self, num_scenes: int = 64, size: int = 128, seed: int = 0, num_pictures: int = 6, scale: float = 20.0
    ) -> None:
        self.num_scenes = num_scenes
        self.size = size
        self.seed = seed
        self.num_pictures = num_pictures
        self.scale = scale

    @master_only
    def before_train(self, runner: Runner) -> None:
        """Look at the untrained teacher; a resumed run keeps what the first one saw."""
        if 'probe_before' not in runner.message_hub.runtime_info:
            runner.message_hub.update_info('probe_before', self.look(training_model(runner)))

    @master_only
    def after_train(self, runner: Runner) -> None:
        """Look at the trained teacher, print both looks side by side and write the picture."""
        before, after = runner.message_hub.get_info('probe_before'), self.look(training_model(runner))
        runner.logger.info(
            f'Unseen scenes, before -> after training: same-object AUC {before["auc"]:.3f} -> {after["auc"]:.3f} '
            f'(chance 0.5); 20-NN class accuracy of object patches {100 * before["knn"]:.1f}% -> '
            f'{100 * after["knn"]:.1f}% (chance {100 * after["chance"]:.1f}%, {len(CLASSES)} classes)'
        )
        path = self.draw(before['clusters'], after['clusters'], Path(runner.work_dir) / 'clusters_before_after.png')
        runner.message_hub.update_info('probe_picture', str(path))

    def scenes(self) -> tuple[Tensor, Tensor, list[np.ndarray]]:
        """Make the pictures (2n, 3, S, S) uint8, their instance maps (2n, S, S) and the classes of the instances."""
        scenes = [render_scene(self.seed, i, (self.size, self.size), split='val') for i in range(2 * self.num_scenes)]
        images = torch.from_numpy(np.stack([scene.image for scene in scenes])).permute(0, 3, 1, 2)
        instances = torch.from_numpy(np.stack([scene.instance_map for scene in scenes])).long()
        return images, instances, [scene.labels for scene in scenes]

    @torch.no_grad()
    def look(self, model: nn.Module) -> dict:
        """Compute the figures, and the clusters of the first pictures as nested lists (they go into checkpoints)."""
        backbone = model.teacher.backbone
        images, instances, labels = self.scenes()
        features = []
        for chunk in images.split(32):
            inputs = model.data_preprocessor(dict(inputs=chunk), training=False)['inputs']
            features.append(backbone(inputs)[-1].float().cpu())
        features = torch.cat(features)
        owners = patch_owners(instances, backbone.patch_size)
        classes = torch.full_like(owners, -1)
        for i, of_instance in enumerate(labels):
            on_object = owners[i] > 0
            classes[i, on_object] = torch.from_numpy(of_instance)[owners[i, on_object] - 1]
        known, asked = classes[: self.num_scenes] >= 0, classes[self.num_scenes :] >= 0
        train = features[: self.num_scenes][known], classes[: self.num_scenes][known]
        test = features[self.num_scenes :][asked], classes[self.num_scenes :][asked]
        return dict(
            auc=same_object_auc(features, owners),
            knn=knn_accuracy(*train, *test),
            chance=chance_accuracy(train[1], test[1]),
            clusters=[mean_shift_clusters(tokens, self.scale).tolist() for tokens in features[: self.num_pictures]],
        )

    def draw(self, before: list, after: list, path: Path) -> Path:
        """Write the picture: input, its objects, and the clusters of both looks."""
        images, instances, _ = self.scenes()
        rows = []
        for i in range(len(after)):
            image = images[i].permute(1, 2, 0).numpy()
            looks = [np.array(labels[i]).reshape([round(len(labels[i]) ** 0.5)] * 2) for labels in (before, after)]
            rows.append([image, *(paint_clusters(image, look) for look in (instances[i].numpy(), *looks))])
        return picture_grid(rows, ('input', 'objects', 'clusters before', 'clusters after'), path, scale=2)
