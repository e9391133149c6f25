"""Procedural scenes as a data set for pretraining: nothing to download, nothing on the disk."""

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from flsl_mm.datasets.teacher_view import teacher_view
from flsl_mm.utils.mm import DATASETS

from .painter import render_scene
from .specs import check_seed, check_size


@DATASETS.register_module()
class FLSLScenes(Dataset):
    """Teacher views of procedural scenes, painted when they are asked for.

    An item is a function of its *virtual index* ``v`` alone, as in :class:`~flsl_mm.datasets.FLSLImages`: scene
    ``v % len(dataset)``, cropped with random numbers of the seed and ``v``.

    Args:
        length: Number of different scenes.
        seed: Seed of the scenes and of the crops.
        view_size: Side of the teacher view in pixels.
        scale: Range of the teacher crop's area, as a fraction of the scene's area.
        size: Height and width of a scene in pixels, at least 32 each; by default 8/7 of the view, as 256 for 224.

    Raises:
        ValueError: If ``length`` is below 1, ``scale`` is no range within 0..1, ``seed`` is negative, or the scenes
            are too small.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        view_size: int = 224,
        scale: tuple[float, float] = (0.8, 1.0),
        size: tuple[int, int] | None = None,
    ) -> None:
        if length < 1:
            raise ValueError(f'length must be at least 1 scene, got {length}')
        check_seed(seed)
        if not (len(scale) == 2 and 0 < scale[0] <= scale[1] <= 1):
            raise ValueError(f'scale must be a range (low, high) with 0 < low <= high <= 1, got {scale}')
        self.length = length
        self.seed = seed
        self.view_size = view_size
        self.scale = tuple(scale)
        self.size = tuple(size) if size else (round(view_size * 8 / 7),) * 2
        check_size(self.size)
        self.metainfo: dict = {}  # the Runner warns of a data set without

    def __len__(self) -> int:
        """Number of different scenes."""
        return self.length

    def __getitem__(self, virtual_index: int) -> dict:
        """Paint a scene and crop it.

        Args:
            virtual_index: 0 or more; see the class.

        Returns:
            ``inputs``, the teacher view, uint8 ``(3, view_size, view_size)``, and ``img_path``, the name of the scene.
        """
        if virtual_index < 0:
            raise IndexError(f'virtual index {virtual_index} is negative')
        index = virtual_index % self.length
        scene = render_scene(self.seed, index, self.size)
        rng = np.random.default_rng((self.seed, virtual_index))
        view = teacher_view(Image.fromarray(scene.image), self.view_size, self.scale, rng)
        return dict(inputs=view, img_path=f'scenes://{self.seed}/{index}')
