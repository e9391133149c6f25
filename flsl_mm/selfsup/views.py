"""Data preprocessor of the pretraining: teacher views from the loader -> normalized views, batched, on the device."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseDataPreprocessor
from mmengine.registry import MODELS
from torch import Tensor

from flsl_mm.models.device import to_device

from .crops import Crops, crop_resize, draw_crop_boxes, relative_boxes
from .photometric import PhotometricPolicy, apply_photometric, draw_photometric


@MODELS.register_module()
class FLSLDataPreprocessor(BaseDataPreprocessor):
    """Make the views of FLSL on the training device (paper section 4.1 and appendix).

    The loader's uint8 crop is the teacher view, or with ``teacher_crop`` holds it. The student views are crops of the
    loader's crop, without flips. Then each view gets a photometric jitter of its own, independent between samples, and
    is normalized. The random numbers come from torch's default CPU generator (one draw a batch): its seed decides the
    views.

    Args:
        mean: Mean of red, green and blue, for values 0 to 1.
        std: Standard deviation of red, green and blue, for values 0 to 1.
        global_crops: :class:`Crops` of the global student views; what is not given is num=1, size=224,
            scale=(0.5, 1), window=2.
        local_crops: :class:`Crops` of the local student views; what is not given is num=2, size=96,
            scale=(0.05, 0.4), window=2.
        photometric: :class:`~flsl_mm.selfsup.photometric.PhotometricPolicy` where it differs from the paper's.
        teacher_crop: Ours: ``size`` and ``scale`` of a crop of the loader's image that is the teacher view. Teacher and
            student then see windows of the image that do not depend on each other, and a query's place in the one
            does not tell its place in the other. ``None`` takes the whole image (paper).
        clean_teacher: Ours: leave the photometric jitter of the teacher view out.
        flip_prob: Ours: probability that an image is mirrored, before it is cropped.
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
        teacher_crop: dict | None = None,
        clean_teacher: bool = False,
        flip_prob: float = 0.0,
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
        if not 0 <= flip_prob <= 1:
            raise ValueError(f'flip_prob must lie between 0 and 1, got {flip_prob}')
        self.photometric = PhotometricPolicy(**(photometric or {}))
        self.teacher_crop = Crops(num=1, **teacher_crop) if teacher_crop else None
        self.clean_teacher = clean_teacher
        self.flip_prob = flip_prob
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
            fractions of the teacher view ``[(B, 4), ...]``, outside of 0 to 1 where a crop leaves it; with the
            option, ``clean_views`` is the same list as ``views`` without photometric jitter. Otherwise ``inputs`` is
            the normalized ``(B, 3, S, S)``. ``data_samples`` is None.
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
        images = self.flip(images, generator)
        windows = self.draw_windows(images, generator)
        clean = self.crop(images, windows)
        boxes = [relative_boxes(window, windows[0]) for window in windows[1:]]
        views = {'views': self.jitter(clean, generator), 'boxes': boxes}
        if self.clean_views:
            views['clean_views'] = [self._normalize(view) for view in clean]
        return views

    def flip(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Mirror some of the images ``(B, C, H, W)``."""
        if not self.flip_prob:
            return images
        mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < self.flip_prob
        return torch.where(to_device(mirrored, images.device), images.flip(-1), images)

    def draw_windows(self, images: Tensor, generator: torch.Generator) -> list[Tensor]:
        """Draw where the views of images ``(B, 3, S, S)`` lie.

        Returns:
            Left, top, width and height in pixels of the image of the teacher view, ``(B, 4)`` or where it is the whole
            image ``(1, 4)``, and of each student view, ``(B, 4)``.
        """
        side = images.shape[-1]

        def draw(crops: Crops) -> Tensor:
            return to_device(draw_crop_boxes(len(images), side, crops.scale, generator), images.device)

        whole = images.new_zeros(1, 4)
        whole[:, 2:] = side  # written on the device: for numbers from the host it would be waited for
        return [draw(self.teacher_crop) if self.teacher_crop else whole, *map(draw, self.crops)]

    def crop(self, images: Tensor, windows: Sequence[Tensor]) -> list[Tensor]:
        """Crop teacher view and student views of images ``(B, 3, S, S)``, values 0 to 1, by their windows."""
        teacher, *students = windows
        teacher_view = crop_resize(images, teacher, self.teacher_crop.size) if self.teacher_crop else images
        pairs = zip(students, self.crops, strict=True)
        return [teacher_view, *(crop_resize(images, window, crops.size) for window, crops in pairs)]

    def jitter(self, views: list[Tensor], generator: torch.Generator) -> list[Tensor]:
        """Give each view ``(B, 3, S, S)``, values 0 to 1, photometric jitter of its own, and normalize it."""
        clean, views = (views[:1], views[1:]) if self.clean_teacher else ([], views)
        drawn = [draw_photometric(len(view), self.photometric, generator) for view in views]
        jittered = (apply_photometric(view, params) for view, params in zip(views, drawn, strict=True))
        return [self._normalize(view) for view in (*clean, *jittered)]

    def _normalize(self, images: Tensor) -> Tensor:
        return (images - self.mean).div_(self.std)
