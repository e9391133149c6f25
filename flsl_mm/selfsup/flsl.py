"""FLSL, feature-level self-supervised learning, as an MMEngine model: one screen tells the method (``loss``)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter

import torch
from mmengine.registry import MODELS
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn
from torch.optim import Optimizer

from . import losses
from .distributed import mean_over_processes
from .mean_shift import anchored_queries, gather_queries, mean_shift, sample_queries, stage_attention, token_places
from .teacher import EMATeacher, OptimizerStepCallback
from .views import Crops

SCHEDULED = (
    'momentum',
    'teacher_temp',
    'student_temp',
    'intra_weight',
    'inter_weight',
    'volume_weight',
    'self_scale',
    'cross_scale',
    'stage_mix',
)
"""Names of the values that :meth:`FLSL.set_scheduled` may set while training, in the units of the arguments."""


@MODELS.register_module()
class FLSL(BaseSelfSupervisor):
    """Bi-level clustering of patch features (Su et al., NeurIPS 2023, arXiv 2306.06203; code: QingSuML/FLSL).

    Args:
        backbone: Student backbone, a :class:`~flsl_mm.models.FLSLViT` config with ``out_type='tokens'``.
        head: Student head, a :class:`~flsl_mm.models.FLSLHead` config; ``in_channels`` is the backbone's width.
        data_preprocessor: Makes the views, a :class:`~flsl_mm.selfsup.FLSLDataPreprocessor` config, which also says
            from how large windows of each kind of view the queries are drawn.
        window_member: ``'random'`` (paper) or ``'first'`` (released code's default) member of each window.
        normalize: ``'tokens'`` puts the final LayerNorm on all tokens, ``'modes'`` on the modes only.
        self_scale: Multiplies the logits of the intra-view mean shift, ``q z^T / sqrt(C)``.
        cross_scale: Multiplies those of the inter-view mean shift, likewise divided by the root of the width.
        student_temp: Temperature of the student's assignment.
        teacher_temp: Temperature of the teacher's assignment.
        intra_weight: Weight of the first-level loss.
        inter_weight: Weight of the second-level loss.
        volume_weight: Weight of the volume maximization.
        center_momentum: Center the teacher's logits with a running mean of this momentum (0.9 in the released code);
            ``None`` does not center.
        momentum: Share of itself that the teacher keeps at an optimizer step.
        assignment: ``'softmax'`` (paper) or ``'sinkhorn'`` of the teacher's logits; the latter, ours, uses all
            prototypes equally, so that ``volume_weight`` can be 0.
        anchor_width: Ours: start the inter-view mean shift from the teacher's own tokens at the query's place, within
            about this distance in sides of the teacher view; see :func:`~.mean_shift.anchored_queries`. ``None``
            starts it from the student's query (paper).
        previous_stage: Multi-stage training: config of the frozen backbone of an earlier stage, with ``init_cfg``
            naming its checkpoint, whose sharpened attention is mixed into the inter-view mean shift.
        previous_stage_scale: Multiplies the logits of its attention, divided by the root of its own width.
        previous_stage_sharpness: Slope of the sigmoid that sharpens its attention.
        stage_mix: Share of this stage's own attention in the mixture, 0 to 1.
        init_cfg: MMEngine initialization config.

    Raises:
        ValueError: If a crop size is not a multiple of the patch size, a window does not fit, or options disagree.
        RuntimeError: While training, if the teacher has no optimizer attached.
    """

    optional_tensors = ('center', 'previous_stage.')
    """Starts of the names of tensors that a file need not have for a new training: zero, and loaded by themselves."""

    def __init__(
        self,
        backbone: dict,
        head: dict,
        data_preprocessor: dict,
        window_member: str = 'random',
        normalize: str = 'tokens',
        self_scale: float = 0.1,
        cross_scale: float = 0.2,
        student_temp: float = 0.1,
        teacher_temp: float = 0.07,
        intra_weight: float = 0.03,
        inter_weight: float = 1.0,
        volume_weight: float = 5.0,
        center_momentum: float | None = None,
        momentum: float = 0.996,
        assignment: str = 'softmax',
        anchor_width: float | None = None,
        previous_stage: dict | None = None,
        previous_stage_scale: float = 0.2,
        previous_stage_sharpness: float = 1e4,
        stage_mix: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        if normalize not in ('tokens', 'modes'):
            raise ValueError(f"normalize must be 'tokens' or 'modes', got {normalize!r}")
        if assignment not in ('softmax', 'sinkhorn'):
            raise ValueError(f"assignment must be 'softmax' or 'sinkhorn', got {assignment!r}")
        if assignment == 'sinkhorn' and center_momentum is not None:
            raise ValueError("assignment='sinkhorn' balances the prototypes itself: leave center_momentum at None")
        if anchor_width is not None and anchor_width <= 0:
            raise ValueError(f'anchor_width must be more than 0, or None, got {anchor_width}')
        backbone = MODELS.build(backbone)
        if backbone.out_type != 'tokens' or not backbone.final_norm:
            raise ValueError(
                "FLSL needs backbone.out_type='tokens' and final_norm=True; normalize='modes' moves the norm"
            )
        head = {'in_channels': backbone.embed_dim, **head}
        if head['in_channels'] != backbone.embed_dim:
            raise ValueError(
                f'head.in_channels is {head["in_channels"]}, the backbone has {backbone.embed_dim} channels: leave '
                'in_channels out, it follows the backbone'
            )
        super().__init__(backbone=backbone, head=head, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.normalize = normalize
        self.backbone.final_norm = normalize == 'tokens'
        self.window_member = window_member
        self.self_scale = self_scale
        self.cross_scale = cross_scale
        self.student_temp = student_temp
        self.teacher_temp = teacher_temp
        self.intra_weight = intra_weight
        self.inter_weight = inter_weight
        self.volume_weight = volume_weight
        self.center_momentum = center_momentum
        self.momentum = momentum
        self.assignment = assignment
        self.anchor_width = anchor_width
        self.previous_stage_scale = previous_stage_scale
        self.previous_stage_sharpness = previous_stage_sharpness
        self.stage_mix = stage_mix
        if center_momentum is not None:
            self.register_buffer('center', torch.zeros(self.head.num_prototypes))
        self.previous_stage = None if previous_stage is None else MODELS.build(previous_stage)
        if self.previous_stage is not None:
            self.previous_stage.requires_grad_(False).eval()
        self.teacher = EMATeacher(self.backbone, self.head)
        self.step_callback = OptimizerStepCallback(self.update_teacher)
        self._check_crops()

    def _check_crops(self) -> None:
        for crops in self.data_preprocessor.crops:
            self._check_size(crops.size)
            side = crops.size // self.backbone.patch_size
            if crops.window > side:
                raise ValueError(
                    f'window {crops.window} does not fit the {side}x{side} tokens of a {crops.size} pixel crop'
                )
        if self.previous_stage is not None and not self.data_preprocessor.clean_views:
            raise ValueError('previous_stage needs data_preprocessor.clean_views=True')

    def _check_size(self, size: int) -> None:
        if size % self.backbone.patch_size:
            raise ValueError(f'crop size {size} is not a multiple of patch_size {self.backbone.patch_size}')

    def init_weights(self) -> None:
        """Initialize the student, load weights its configs name, and start the teacher from the same weights."""
        super().init_weights()
        self.teacher.copy_from(self.backbone, self.head)

    def train(self, mode: bool = True) -> FLSL:
        """Set the student's mode; the teacher and an earlier stage's model stay in evaluation mode."""
        super().train(mode)
        if self.previous_stage is not None:
            self.previous_stage.eval()
        return self

    def set_scheduled(self, **values: float) -> None:
        """Set values named in :data:`SCHEDULED`; raises ValueError on any other name."""
        for name, value in values.items():
            if name not in SCHEDULED:
                raise ValueError(f'cannot schedule {name!r}: choose from {", ".join(SCHEDULED)}')
            setattr(self, name, value)

    def student_parameters(self) -> Iterator[nn.Parameter]:
        """Yield the trainable parameters of backbone and head."""
        return (p for part in (self.backbone, self.head) for p in part.parameters() if p.requires_grad)

    def attach_optimizer(self, optimizer: Optimizer) -> None:
        """Update the teacher after each step of the optimizer that trains the student.

        :class:`~flsl_mm.engine.optim.FLSLOptimWrapperConstructor` calls this with the optimizer that it builds. Of
        several optimizers, it is the last one that this was called with that counts.

        Raises:
            ValueError: If the optimizer has no hooks after its steps, or does not train the student.
        """
        self.step_callback.attach(optimizer, self.student_parameters())

    def update_teacher(self) -> None:
        """Update the teacher once."""
        self.teacher.update(self.backbone, self.head, self.momentum)

    def loss(self, inputs: dict[str, list[Tensor]], data_samples: None = None) -> dict[str, Tensor]:
        """Compute the losses of one batch.

        Args:
            inputs: ``views``, a list of normalized images: the teacher view (B, 3, S, S), then the student views in the
                order of ``data_preprocessor.crops``; ``boxes``, where those are in it, for ``anchor_width``; and
                ``clean_views``, the views without photometric jitter, for multi-stage training.
            data_samples: Unused, there are no labels.

        Returns:
            ``loss`` and, outside the sum, ``intra``, ``inter``, ``volume``, ``teacher_entropy``, ``marginal_entropy``
            (nats) and ``prototypes_used``.
        """
        if torch.is_grad_enabled():
            self.step_callback.check(self.student_parameters())
        teacher_view, *student_views = inputs['views']
        batch_size = len(teacher_view)
        self._check_size(teacher_view.shape[-1])
        with torch.no_grad():
            teacher_tokens = self.teacher.backbone(teacher_view)[-1]
        queries, modes, indices = [], [], []
        for crops, views in self.group_by_kind(student_views):
            tokens = self.backbone(torch.cat(views))[-1]
            sampled = self.sample(views, crops.window)
            view_queries = gather_queries(tokens, sampled)
            indices.append(sampled)
            queries.append(per_image(view_queries, batch_size))
            modes.append(per_image(mean_shift(view_queries, tokens, self.self_scale), batch_size))
        queries, modes = torch.cat(queries, 1), torch.cat(modes, 1)

        student_logits = self.head(self.normalized(modes, self.backbone.norm))
        with torch.no_grad():
            attention = self.previous_attention(inputs, indices)
            starts = queries if self.anchor_width is None else self.anchored(inputs['boxes'], indices, teacher_tokens)
            teacher_modes = mean_shift(starts, teacher_tokens, self.cross_scale, attention, self.stage_mix)
            teacher_logits = self.teacher.head(self.normalized(teacher_modes, self.teacher.backbone.norm))
        return self.combine(queries, modes, student_logits, teacher_logits)

    def combine(
        self, queries: Tensor, modes: Tensor, student_logits: Tensor, teacher_logits: Tensor
    ) -> dict[str, Tensor]:
        """Weigh and sum the loss terms; shapes (B, Q, C) and (B, Q, K), result as of :meth:`loss`."""
        targets = self.assign(teacher_logits)
        self.update_center(teacher_logits)
        student_logits = student_logits.float().flatten(0, 1) / self.student_temp
        marginal, weight = mean_over_processes(student_logits.softmax(-1).sum(0), len(student_logits))
        intra = losses.intra_view_loss(queries, modes)
        inter = losses.inter_view_loss(student_logits, targets.flatten(0, 1))
        volume = losses.volume_regularizer(marginal)
        total = weight * (self.intra_weight * intra + self.inter_weight * inter) + self.volume_weight * volume
        return dict(
            loss=total,
            intra=intra.detach(),
            inter=inter.detach(),
            volume=volume.detach(),
            teacher_entropy=losses.entropy(targets).mean(),
            marginal_entropy=losses.entropy(marginal.detach()),
            prototypes_used=losses.prototypes_used(targets),
        )

    def assign(self, teacher_logits: Tensor) -> Tensor:
        """Turn the teacher's logits (..., K) into its assignment."""
        if self.assignment == 'sinkhorn':
            return losses.sinkhorn(teacher_logits, self.teacher_temp)
        return losses.sharpen(teacher_logits, self.teacher_temp, getattr(self, 'center', None))

    def group_by_kind(self, student_views: list[Tensor]) -> list[tuple[Crops, list[Tensor]]]:
        """Put student views (B, 3, S, S) of one kind of crops together, which one forward pass can take."""
        pairs = zip(self.data_preprocessor.crops, student_views, strict=True)
        return [(crops, [view for _, view in group]) for crops, group in groupby(pairs, key=itemgetter(0))]

    def sample(self, views: list[Tensor], window: int) -> Tensor:
        """Draw the query indices (V * B, Q) of V student views of one size, one from each window of tokens."""
        side = views[0].shape[-1] // self.backbone.patch_size
        count = len(views) * len(views[0])
        return sample_queries(count, (side, side), window, self.window_member, views[0].device)

    def anchored(self, boxes: list[Tensor], indices: list[Tensor], teacher_tokens: Tensor) -> Tensor:
        """Return the teacher's own tokens (B, Q, C) at the places of the queries, as :meth:`loss` orders them."""
        places = []
        for (crops, group), sampled in zip(self.group_by_kind(boxes), indices, strict=True):
            of_tokens = token_places(torch.cat(group), crops.size // self.backbone.patch_size)
            places.append(per_image(gather_queries(of_tokens, sampled), len(teacher_tokens)))
        return anchored_queries(teacher_tokens, torch.cat(places, 1), self.anchor_width)

    def normalized(self, modes: Tensor, norm: nn.Module) -> Tensor:
        """Apply the final LayerNorm to modes (B, Q, C) where tokens did not get it."""
        return norm(modes) if self.normalize == 'modes' else modes

    @torch.no_grad()
    def update_center(self, teacher_logits: Tensor) -> None:
        """Move the center (K,) towards the mean of the teacher's logits (B, Q, K) over all processes."""
        if self.center_momentum is None:
            return
        logits = teacher_logits.float().flatten(0, 1)
        mean, _ = mean_over_processes(logits.sum(0), len(logits))
        # A step on NaN is left out (see FLSLOptimWrapper); it must not stay in the running mean either.
        mean = torch.where(mean.isfinite().all(), mean, self.center)
        self.center.lerp_(mean, 1 - self.center_momentum)

    def previous_attention(self, inputs: dict[str, list[Tensor]], indices: list[Tensor]) -> Tensor | None:
        """Return the earlier stage's sharpened attention (B, Q, N), or ``None`` in a first stage."""
        if self.previous_stage is None:
            return None
        teacher_view, *student_views = inputs['clean_views']
        keys = self.previous_stage(teacher_view)[-1]
        queries = []
        for (_, views), sampled in zip(self.group_by_kind(student_views), indices, strict=True):
            tokens = self.previous_stage(torch.cat(views))[-1]
            queries.append(per_image(gather_queries(tokens, sampled), len(teacher_view)))
        return stage_attention(torch.cat(queries, 1), keys, self.previous_stage_scale, self.previous_stage_sharpness)


def per_image(tokens: Tensor, batch_size: int) -> Tensor:
    """Turn tokens of V views of each image, view by view (V * B, Q, C), into tokens of each image (B, V * Q, C)."""
    return tokens.unflatten(0, (-1, batch_size)).transpose(0, 1).flatten(1, 2)
