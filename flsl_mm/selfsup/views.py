"""Data preprocessor of the pretraining: teacher views from the loader -> normalized views, batched, on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from flsl_mm.models.device import to_device

from .crops import Crops, crop_resize, draw_crop_boxes
from .photometric import PhotometricPolicy, apply_photometric, draw_photometric


@MODELS.register_module()
class FLSLDataPreprocessor(BaseDataPreprocessor):
    """Make the views of FLSL on the training device (paper section 4.1 and appendix).

    The loader's uint8 crop is the teacher view. The student views are crops of it, without flips. Then each view
    gets a photometric jitter of its own, independent between samples, and is normalized. The random numbers come
    from torch's default CPU generator (one draw a batch): its seed decides the views.

    Args:
        mean: Mean of red, green and blue, for values 0 to 1.
        std: Standard deviation of red, green and blue, for values 0 to 1.
        global_crops: :class:`Crops` of the global student views; what is not given is num=1, size=224,
            scale=(0.5, 1), window=2.
        local_crops: :class:`Crops` of the local student views; what is not given is num=2, size=96,
            scale=(0.05, 0.4), window=2.
        photometric: :class:`~flsl_mm.selfsup.photometric.PhotometricPolicy` where it differs from the paper's.
        clean_views: Also return the views without their photometric jitter (for multi-stage pretraining).
        non_blocking: Whether the host continues while pinned images are copied to the device.

    Attributes:
        crops: The :class:`Crops` of each student view, in the order of the views.

    Raises:
        ValueError: If there is no student view or an option has an impossible value.
    """

    def __init__(
        self,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.229, 0.224, 0.225),
        global_crops: dict | None = None,
        local_crops: dict | None = None,
        photometric: dict | None = None,
        clean_views: bool = False,
        non_blocking: bool = True,
    ) -> None:
        super().__init__(non_blocking)
        global_kind = Crops(**{'num': 1, 'size': 224, 'scale': (0.5, 1.0), **(global_crops or {})})
        local_kind = Crops(**{'num': 2, 'size': 96, 'scale': (0.05, 0.4), **(local_crops or {})})
        self.crops = [global_kind] * global_kind.num + [local_kind] * local_kind.num
        if not self.crops:
            raise ValueError('the student has no view: set global_crops.num or local_crops.num to 1 or more')
        if min(std) <= 0:
            raise ValueError(f'images are divided by std, which has to be positive, got {list(std)}')
        self.photometric = PhotometricPolicy(**(photometric or {}))
        self.clean_views = clean_views
        self.register_buffer('mean', torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(-1, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, data: dict, training: bool = False) -> dict:
        """Make the model's input of a batch of the loader.

        Args:
            data: ``inputs``, a list of ``(3, S, S)`` tensors or one ``(B, 3, S, S)`` tensor, values 0 to 255, uint8
                as the loader gives them or float. Other keys are not used.
            training: Whether to make views. If not, the images are only normalized.

        Returns:
            Training: ``inputs`` is a dict with ``views``, the normalized views ``[(B, 3, S, S), ...]``: teacher view
            first, then global and local student views; ``boxes``, left, top, width and height of each student view as
            fractions of the teacher view ``[(B, 4), ...]``; with the option, ``clean_views`` is the same list as
            ``views`` without photometric jitter. Otherwise ``inputs`` is the normalized ``(B, 3, S, S)``.
            ``data_samples`` is None.
        """
        images = data['inputs']
        if not isinstance(images, Tensor):
            images = torch.stack(tuple(images))
        images = images.to(self.device, non_blocking=self._non_blocking)
        # The runner calls this under autocast, and 8 bits of a bfloat16 mantissa do not hold an 8-bit image.
        with torch.autocast(images.device.type, enabled=False):
            images = images.float() / 255
            inputs = self._views(images) if training else self._normalize(images)
        return dict(inputs=inputs, data_samples=None)

    def _views(self, images: Tensor) -> dict[str, list[Tensor]]:
        seed = int(torch.randint(2**62, (1,)))
        generator = torch.Generator().manual_seed(seed)
        clean, boxes = self.crop(images, generator)
        views = {'views': self.jitter(clean, generator), 'boxes': [box / images.shape[-1] for box in boxes]}
        if self.clean_views:
            views['clean_views'] = [self._normalize(view) for view in clean]
        return views

    def crop(self, images: Tensor, generator: torch.Generator) -> tuple[list[Tensor], list[Tensor]]:
        """Return the teacher view, images ``(B, 3, S, S)``, 0 to 1, with crops of it, and the boxes of the crops."""
        views, boxes = [images], []
        for crops in self.crops:
            drawn = draw_crop_boxes(len(images), images.shape[-1], crops.scale, generator)
            boxes.append(to_device(drawn, images.device))
            views.append(crop_resize(images, boxes[-1], crops.size))
        return views, boxes

    def jitter(self, views: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Give each view ``(B, 3, S, S)``, values 0 to 1, with photometric jitter of its own, normalized."""
        drawn = [draw_photometric(len(view), self.photometric, generator) for view in views]
        jittered = (apply_photometric(view, params) for view, params in zip(views, drawn, strict=True))
        return [self._normalize(view) for view in jittered]

    def _normalize(self, images: Tensor) -> Tensor:
        return (images - self.mean).div_(self.std)
