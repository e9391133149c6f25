"""Checks of FLSL's options before anything is built from them."""

from __future__ import annotations

from torch import nn

from .views import FLSLDataPreprocessor


def check_method(
    normalize: str,
    assignment: str,
    center_momentum: float | None,
    anchor_width: float | None,
    target_centering: dict | None,
) -> None:
    """Check the options of :class:`~flsl_mm.selfsup.FLSL` that choose a variant; raises ValueError."""
    if normalize not in ('tokens', 'modes'):
        raise ValueError(f"normalize must be 'tokens' or 'modes', got {normalize!r}")
    if assignment not in ('softmax', 'sinkhorn'):
        raise ValueError(f"assignment must be 'softmax' or 'sinkhorn', got {assignment!r}")
    if assignment == 'sinkhorn' and center_momentum is not None:
        raise ValueError("assignment='sinkhorn' balances the prototypes itself: leave center_momentum at None")
    if anchor_width is not None and anchor_width <= 0:
        raise ValueError(f'anchor_width must be more than 0, or None, got {anchor_width}')
    if target_centering is not None and anchor_width is None and target_centering.get('cells', 6):
        raise ValueError('target_centering by cells needs to know where queries lie: set anchor_width, or cells=0')


def check_backbone(backbone: nn.Module, head: dict) -> None:
    """Check that a backbone gives the tokens that FLSL needs, and that the head takes them; raises ValueError."""
    name = type(backbone).__name__
    missing = [
        part for part in ('embed_dim', 'patch_size', 'out_type', 'final_norm', 'parts') if not hasattr(backbone, part)
    ]
    if missing:
        raise ValueError(
            f'FLSL needs a backbone of patch tokens, FLSLViT or TimmViT for example: {name} has no {", ".join(missing)}'
        )
    if backbone.out_type != 'tokens' or not backbone.final_norm:
        raise ValueError("FLSL needs backbone.out_type='tokens' and final_norm=True; normalize='modes' moves the norm")
    if head.get('in_channels', backbone.embed_dim) != backbone.embed_dim:
        raise ValueError(
            f'head.in_channels is {head["in_channels"]}, the backbone has {backbone.embed_dim} channels: leave '
            'in_channels out, it follows the backbone'
        )


def check_size(size: int, patch_size: int) -> None:
    """Check that a view of ``size`` pixels is of whole patches; raises ValueError."""
    if size % patch_size:
        raise ValueError(f'crop size {size} is not a multiple of patch_size {patch_size}')


def check_views(data_preprocessor: FLSLDataPreprocessor, patch_size: int, needs_clean: bool) -> None:
    """Check that views are of whole patches, that windows fit, and that there are clean views where needed.

    Raises:
        ValueError: If not.
    """
    teacher_crop = getattr(data_preprocessor, 'teacher_crop', None)  # other preprocessors need not have the option
    if teacher_crop is not None:
        check_size(teacher_crop.size, patch_size)
    for kind in data_preprocessor.crops:
        check_size(kind.size, patch_size)
        side = kind.size // patch_size
        if kind.window > side:
            raise ValueError(f'window {kind.window} does not fit the {side}x{side} tokens of a {kind.size} pixel crop')
    if needs_clean and not data_preprocessor.clean_views:
        raise ValueError('previous_stage needs data_preprocessor.clean_views=True')
