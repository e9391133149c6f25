"""Video object segmentation without training: the first frame's mask follows the features of a frozen backbone."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.logging import print_log
from mmengine.model import BaseModel
from mmengine.registry import MODELS
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from flsl_mm.checkpoint import CheckpointError, load_backbone, read_checkpoint
from flsl_mm.checkpoint.find import check_tensors
from flsl_mm.checkpoint.layouts import plain_tensors
from flsl_mm.models import PatchBackbone
from flsl_mm.models.input_check import input_mismatch
from flsl_mm.utils.terminal import open_progress

from .label_propagation import labels_to_mask, one_hot_labels, propagate_labels

DTYPES = {'float32': torch.float32, 'bfloat16': torch.bfloat16}


def resize_nearest(mask: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Resize a mask (H, W), uint8, by nearest neighbor at pixel centers (Pillow's rule, the original's)."""
    return np.asarray(Image.fromarray(mask).resize(size_hw[::-1], Image.Resampling.NEAREST))


def load_weights(backbone: nn.Module, checkpoint: str) -> None:
    """Load every weight of a backbone from a file, or raise.

    Args:
        backbone: :class:`~flsl_mm.models.PatchBackbone`, which takes every kind of file that
            :mod:`flsl_mm.checkpoint` reads, or any other module, whose keys must be those of the file, or of the file
            below ``backbone.``.
        checkpoint: File.

    Raises:
        CheckpointError: If a tensor is missing, left over, or has another shape; the backbone stays as it was.
    """
    if isinstance(backbone, PatchBackbone):
        load_backbone(backbone, checkpoint)
        return
    content = read_checkpoint(checkpoint)
    state = content.get('state_dict', content)
    below = {key.removeprefix('backbone.'): value for key, value in state.items() if key.startswith('backbone.')}
    given, wanted = plain_tensors(below or state), backbone.state_dict()
    try:  # all of it, before the first tensor is copied
        check_tensors(given, wanted, module=type(backbone).__name__, positions_vary=False)
    except CheckpointError as error:
        raise CheckpointError(f'{checkpoint} does not fit {type(backbone).__name__}: {error}') from None
    backbone.load_state_dict(given)


@MODELS.register_module()
class FLSLLabelPropagator(BaseModel):
    """Propagates the mask of a video's first frame to all others (DINO, arXiv 2104.14294, section 4.2.2; FLSL).

    The patches of a frame take the labels of the most similar patches in the first frame and the ``previous_frames``
    frames before it, see :func:`~flsl_mm.vos.label_propagation.propagate_labels`.

    Args:
        backbone: Config of any registered backbone that returns feature maps (B, C, h, w), or a sequence of which the
            last is used; or such a backbone, with its weights. The feature map must divide the frame evenly.
        checkpoint: File whose weights go into the backbone, see :func:`load_weights`; None leaves it as built, or as
            its ``init_cfg`` makes it if there is one.
        previous_frames: Number of frames kept besides the first.
        radius: Half width of the square window in patches, None for the whole frame.
        topk: Number of keys that give a patch its label.
        temperature: Divides the cosine similarity.
        mean: Mean of the RGB channels, of pixels in 0..1.
        std: Divisor of the RGB channels. The original's red value is 0.228, not ImageNet's 0.229.
        dtype: Precision of the backbone, ``'float32'`` or ``'bfloat16'`` (autocast); similarities are always float32.
        progress: Whether the main process shows how many frames of a video are done.
        allow_other_input: Whether ``mean`` and ``std`` may be others than the backbone's file records.
        data_preprocessor: As in MMEngine; the default moves nothing, since frames go to the device one by one.

    Raises:
        ValueError: If ``dtype`` is unknown, a number is out of range, or the backbone was trained on images of another
            normalization.
    """

    def __init__(
        self,
        backbone: dict | nn.Module,
        checkpoint: str | None = None,
        previous_frames: int = 7,
        radius: int | None = 12,
        topk: int = 5,
        temperature: float = 0.1,
        mean: Sequence[float] = (0.485, 0.456, 0.406),
        std: Sequence[float] = (0.228, 0.224, 0.225),
        dtype: str = 'float32',
        progress: bool = True,
        allow_other_input: bool = False,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor)
        if dtype not in DTYPES:
            raise ValueError(f'dtype must be one of {sorted(DTYPES)}, got {dtype!r}')
        if previous_frames < 0 or topk < 1 or temperature <= 0 or (radius is not None and radius < 0):
            raise ValueError(
                'label propagation needs previous_frames >= 0, topk >= 1, temperature > 0 and radius >= 0 or None; '
                f'got {previous_frames}, {topk}, {temperature} and {radius}'
            )
        self.backbone = backbone if isinstance(backbone, nn.Module) else MODELS.build(backbone)
        if checkpoint is not None:
            load_weights(self.backbone, checkpoint)
        elif not isinstance(backbone, nn.Module):  # which would have its weights
            if getattr(self.backbone, 'init_cfg', None):
                print_log("no checkpoint: the backbone's init_cfg gives its weights", logger='current')
                self.backbone.init_weights()
            else:
                print_log('no checkpoint: the backbone keeps the weights it was built with', logger='current')
        if isinstance(self.backbone, PatchBackbone) and not allow_other_input:
            mismatch = input_mismatch(self.backbone.spec, mean, std)
            if mismatch:
                raise ValueError(f'{mismatch}: set mean and std of FLSLLabelPropagator, or allow_other_input=True')
        self.previous_frames = previous_frames
        self.radius = radius
        self.topk = topk
        self.temperature = temperature
        self.dtype = dtype
        self.progress = progress
        self.register_buffer('mean', torch.tensor(mean).view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).view(3, 1, 1), persistent=False)

    def protocol(self, frame_hw: tuple[int, int]) -> dict:
        """Name everything that scores depend on besides weights, for frames of a size (H, W) in pixels."""
        spec = getattr(self.backbone, 'spec', None)
        return dict(
            short_side=min(frame_hw),
            window='whole frame' if self.radius is None else f'{2 * self.radius + 1}x{2 * self.radius + 1} patches',
            context=f'first frame and {self.previous_frames} before',
            topk=self.topk,
            temperature=self.temperature,
            position_resize=getattr(spec, 'pos_resize', "the backbone's own"),
            input_mean=[round(float(value), 6) for value in self.mean.flatten()],
            input_std=[round(float(value), 6) for value in self.std.flatten()],
            dtype=self.dtype,
        )

    @torch.inference_mode()
    def extract(self, frame: np.ndarray) -> Tensor:
        """Compute the unit-length feature of each patch.

        Args:
            frame: RGB (H, W, 3), uint8.

        Returns:
            Features (h, w, C), float32.

        Raises:
            ValueError: If the feature map does not divide the frame evenly: labels would be shifted.
        """
        device = self.mean.device
        # A copy, since arrays that come out of files can be read-only, which tensors cannot.
        pixels = torch.tensor(frame, device=device).permute(2, 0, 1)
        image = (pixels.float().div_(255) - self.mean) / self.std
        with torch.autocast(device.type, DTYPES[self.dtype], enabled=self.dtype != 'float32'):
            maps = self.backbone(image.unsqueeze(0))
        features = maps if isinstance(maps, Tensor) else maps[-1]
        height, width = frame.shape[:2]
        if features.ndim != 4 or height % features.shape[-2] or width % features.shape[-1]:
            raise ValueError(
                f'a {width}x{height} frame gives features of shape {tuple(features.shape)}: label propagation needs a '
                'feature map (B, C, h, w) of which h and w divide the frame; check out_type, patch_size and short_side'
            )
        return F.normalize(features[0].float().permute(1, 2, 0), dim=-1)

    @torch.inference_mode()
    def segment(self, frames: Sequence[np.ndarray], first_mask: np.ndarray) -> Iterator[np.ndarray]:
        """Segment a video frame by frame; a bounded number of earlier frames is kept.

        Args:
            frames: Frames, each RGB (H, W, 3), uint8.
            first_mask: Object ids (H0, W0) of the first frame, uint8, at any size.

        Yields:
            Object ids (H0, W0), uint8, of the second and all further frames. An object too small for any patch of the
            first frame, or absent from it, is never found.
        """
        features = self.extract(frames[0])
        small_mask = resize_nearest(first_mask, tuple(features.shape[:2]))
        object_ids = [int(number) for number in np.unique(small_mask) if number]
        ids_of_channels = np.array([0, *object_ids], dtype=np.uint8)
        labels = one_hot_labels(torch.tensor(small_mask, device=features.device), object_ids)
        first, previous = (features, labels), deque(maxlen=self.previous_frames)
        for frame in frames[1:]:
            features = self.extract(frame)
            keys, key_labels = zip(first, *previous, strict=True)
            labels = propagate_labels(features, keys, key_labels, self.radius, self.topk, self.temperature)
            previous.append((features, labels))
            channels = labels_to_mask(labels, frame.shape[:2]).cpu().numpy()
            yield resize_nearest(ids_of_channels[channels], first_mask.shape)

    def predict(self, item: dict) -> dict:
        """Segment one item of :class:`~flsl_mm.vos.dataset.DAVISDataset`.

        Returns:
            ``video``, ``index``, ``predictions`` (T, H0, W0) uint8 object ids, the first of them the given mask, and
            ``protocol``; ``video``, ``index`` and ``error`` for an item with an error.
        """
        result = dict(video=item['video'], index=item['index'])
        if 'error' in item:
            return dict(result, error=item['error'])
        frames, first_mask = item['frames'], item['masks'][0]
        name = f'{item["video"]} ({item["index"] + 1}/{item["count"]})'
        masks = [first_mask]
        with open_progress(len(frames) - 1, name, 'frame', show=self.progress and is_main_process()) as shown:
            for mask in self.segment(frames, first_mask):
                masks.append(mask)
                shown.update()
        return dict(result, predictions=np.stack(masks), protocol=self.protocol(frames.shape[1:3]))

    def forward(self, mode: str = 'predict', **batch: list) -> list[dict]:
        """Segment the videos of a batch; its entries are lists, as ``pseudo_collate`` makes them.

        Raises:
            ValueError: If ``mode`` is not ``'predict'``: there is nothing to train.
        """
        if mode != 'predict':
            raise ValueError(f"FLSLLabelPropagator only predicts, mode {mode!r} does not exist; use the runner's test")
        return [self.predict(dict(zip(batch, values, strict=True))) for values in zip(*batch.values(), strict=True)]
