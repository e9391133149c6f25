"""FLSL, feature-level self-supervised learning, as an MMEngine model: one screen tells the method (``loss``)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from mmengine.registry import MODELS, TASK_UTILS
from mmpretrain.models.selfsup import BaseSelfSupervisor
from torch import Tensor, nn
from torch.optim import Optimizer

from . import losses
from .centering import TargetCentering
from .crops import group_by_kind
from .distributed import mean_over_processes
from .mean_shift import anchored_queries, mean_shift, stage_attention
from .option_checks import check_backbone, check_method, check_size, check_views
from .queries import gather_queries, in_teacher_view, per_image, queries_per_image, select, token_places
from .teacher import EMATeacher, OptimizerStepCallback

SCHEDULED = ('momentum', 'teacher_temp', 'student_temp', 'intra_weight', 'inter_weight', 'volume_weight')
SCHEDULED += ('self_scale', 'cross_scale', 'stage_mix')
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
        target_centering: Ours: :class:`~.centering.TargetCentering` without ``num_prototypes``, takes off the teacher's
            logits what the image, or a place in the view, says of all queries.
        momentum: Share of itself that the teacher keeps at an optimizer step.
        assignment: ``'softmax'`` (paper) or ``'sinkhorn'`` of the teacher's logits; the latter, ours, uses all
            prototypes equally, so that ``volume_weight`` can be 0.
        anchor_width: Ours: start the inter-view mean shift from the teacher's own tokens at the query's place, within
            about this distance in sides of the teacher view; see :func:`~.mean_shift.anchored_queries`. Queries
            outside of that view are left out. ``None`` starts it from the student's query (paper).
        query_sampler: Config in ``TASK_UTILS`` of what chooses the queries, called as
            :class:`~flsl_mm.selfsup.FLSLWindowQueries`, which is the default, with ``window_member``.
        intra_loss: Config in ``MODELS`` of a first-level loss, called as :meth:`intra_loss` is.
        inter_loss: Config in ``MODELS`` of a second-level loss, called as :meth:`inter_loss` is.
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

    optional_tensors = ('center', 'target_centering.', 'previous_stage.')
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
        target_centering: dict | None = None,
        momentum: float = 0.996,
        assignment: str = 'softmax',
        anchor_width: float | None = None,
        query_sampler: dict | None = None,
        intra_loss: dict | None = None,
        inter_loss: dict | None = None,
        previous_stage: dict | None = None,
        previous_stage_scale: float = 0.2,
        previous_stage_sharpness: float = 1e4,
        stage_mix: float = 1.0,
        init_cfg: dict | None = None,
    ) -> None:
        check_method(normalize, assignment, center_momentum, anchor_width, target_centering)
        backbone = MODELS.build(backbone)
        check_backbone(backbone, head)
        head = {'in_channels': backbone.embed_dim, **head}
        super().__init__(backbone=backbone, head=head, data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        self.normalize = normalize
        self.backbone.final_norm = normalize == 'tokens'
        self.query_sampler = TASK_UTILS.build(query_sampler or dict(type='FLSLWindowQueries', member=window_member))
        self.intra_view_loss = MODELS.build(intra_loss) if intra_loss else losses.intra_view_loss
        self.inter_view_loss = MODELS.build(inter_loss) if inter_loss else losses.inter_view_loss
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
        self.target_centering = None
        if target_centering is not None:
            self.target_centering = TargetCentering(self.head.num_prototypes, **target_centering)
        self.previous_stage = None if previous_stage is None else MODELS.build(previous_stage)
        if self.previous_stage is not None:
            self.previous_stage.requires_grad_(False).eval()
        self.teacher = EMATeacher(self.backbone, self.head)
        self.step_callback = OptimizerStepCallback(self.update_teacher)
        check_views(self.data_preprocessor, self.backbone.patch_size, previous_stage is not None)

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
        check_size(teacher_view.shape[-1], self.backbone.patch_size)
        with torch.no_grad():
            teacher_tokens = self.teacher.training_tokens(teacher_view, self.training)
        queries, modes, indices = [], [], []
        for crops, views in group_by_kind(self.data_preprocessor.crops, student_views):
            tokens = self.backbone(torch.cat(views))[-1]
            sampled = self.sample(tokens, crops.window)
            view_queries = gather_queries(tokens, sampled)
            indices.append(sampled)
            queries.append(per_image(view_queries, batch_size))
            modes.append(per_image(mean_shift(view_queries, tokens, self.self_scale), batch_size))
        queries, modes = torch.cat(queries, 1), torch.cat(modes, 1)

        with torch.no_grad():
            attention = self.previous_attention(inputs, indices)
            places = self.places(inputs, indices, batch_size)
            starts = queries if places is None else anchored_queries(teacher_tokens, places, self.anchor_width)
            teacher_modes = mean_shift(starts, teacher_tokens, self.cross_scale, attention, self.stage_mix)
            teacher_logits = self.teacher.head(self.normalized(teacher_modes, self.teacher.backbone))
            counted = in_teacher_view(places, teacher_logits)
            if self.target_centering is not None:
                teacher_logits = self.target_centering(teacher_logits, places, counted)
        if places is not None and getattr(self.data_preprocessor, 'teacher_crop', None):
            queries, modes, teacher_logits = select(counted, queries, modes, teacher_logits)
        student_logits = self.head(self.normalized(modes, self.backbone))
        return self.combine(queries, modes, student_logits, teacher_logits)

    def combine(
        self, queries: Tensor, modes: Tensor, student_logits: Tensor, teacher_logits: Tensor
    ) -> dict[str, Tensor]:
        """Weigh and sum the loss terms; shapes (B, Q, C) and (B, Q, K), result as of :meth:`loss`."""
        targets = self.assign(teacher_logits)
        self.update_center(teacher_logits)
        student_logits = student_logits.float() / self.student_temp
        assignments = student_logits.flatten(0, 1).softmax(-1)
        marginal, weight = mean_over_processes(assignments.sum(0), len(assignments))
        intra = self.intra_loss(queries, modes)
        inter = self.inter_loss(student_logits, targets)
        volume = self.volume_loss(marginal)
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

    def intra_loss(self, queries: Tensor, modes: Tensor) -> Tensor:
        """First-level loss, to override: queries and their modes (B, Q, C) -> mean over this process's queries.

        :meth:`combine` multiplies it by ``intra_weight`` and by this process's share of all queries, as the next one.
        """
        return self.intra_view_loss(queries, modes)

    def inter_loss(self, student_logits: Tensor, targets: Tensor) -> Tensor:
        """Second-level loss, to override: the mean over this process's queries.

        Args:
            student_logits: The student's logits, float32, divided by its temperature (B, Q, K).
            targets: The teacher's assignment, as of :meth:`assign`, without gradient (B, Q, K).
        """
        return self.inter_view_loss(student_logits, targets)

    def volume_loss(self, marginal: Tensor) -> Tensor:
        """Volume term, to override: the student's mean assignment over the queries of all processes (K,) -> scalar."""
        return losses.volume_regularizer(marginal)

    def assign(self, teacher_logits: Tensor) -> Tensor:
        """Turn the teacher's logits (..., K) into its assignment."""
        if self.assignment == 'sinkhorn':
            return losses.sinkhorn(teacher_logits, self.teacher_temp)
        return losses.sharpen(teacher_logits, self.teacher_temp, getattr(self, 'center', None))

    def sample(self, tokens: Tensor, window: int) -> Tensor:
        """Choose the query indices (V * B, Q) among the tokens (V * B, N, C) of student views of one kind."""
        side = round(tokens.shape[1] ** 0.5)
        return self.query_sampler(tokens, (side, side), window)

    def places(self, inputs: dict[str, list[Tensor]], indices: list[Tensor], batch_size: int) -> Tensor | None:
        """Return where the queries lie in the teacher view (B, Q, 2), as :meth:`loss` orders them, if anchored."""
        if self.anchor_width is None:
            return None
        kinds = group_by_kind(self.data_preprocessor.crops, inputs['boxes'])
        places = [token_places(torch.cat(group), kind.size // self.backbone.patch_size) for kind, group in kinds]
        return queries_per_image(places, indices, batch_size)

    def normalized(self, modes: Tensor, backbone: nn.Module) -> Tensor:
        """Apply a backbone's final norm to modes (B, Q, C) where tokens did not get it."""
        return backbone.parts()[-1](modes) if self.normalize == 'modes' else modes

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
        kinds = group_by_kind(self.data_preprocessor.crops, student_views)
        tokens = [self.previous_stage(torch.cat(views))[-1] for _, views in kinds]
        queries = queries_per_image(tokens, indices, len(teacher_view))
        return stage_attention(queries, keys, self.previous_stage_scale, self.previous_stage_sharpness)
