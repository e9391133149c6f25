"""Load published weights into timm's vision transformers: all of them, or an error."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from torch import Tensor

from flsl_mm.models.timm_vit import TimmViT, filter_of
from flsl_mm.utils.mm import print_log

from .files import CheckpointError
from .find import check_tensors
from .integrity import misfit
from .layouts import ANCHOR, Layout, open_layout

HEADS = re.compile(r'(head|head_dist|fc|pre_logits|lm_head)\.|mask_token$')
"""Tensors of published files that patch tokens do not depend on, whatever the model has."""


def load_timm(backbone: TimmViT, checkpoint: Mapping, branch: str = 'teacher', source: str = 'the checkpoint') -> str:
    """Load every tensor of a timm backbone, or none and raise; say in one logged line what was loaded.

    Args:
        backbone: Receives the weights, and in its ``spec`` the normalization of the published weights of its name.
        checkpoint: What :func:`~flsl_mm.checkpoint.read_checkpoint` returned.
        branch: ``'teacher'`` or ``'student'``, where the checkpoint has both.
        source: What messages call it.

    Returns:
        The line.

    Raises:
        CheckpointError: As of :func:`timm_tensors`.
    """
    tensors, ignored = timm_tensors(backbone, checkpoint, branch, source)
    backbone.vit.load_state_dict(tensors)
    backbone.note_input()
    parts = [f'loaded {len(tensors)}/{len(tensors)} tensors of {backbone.spec.model_name} from {source}']
    if ignored:
        parts.append(f'ignored {", ".join(f"{name} ({count})" for name, count in ignored.items())}')
    parts.append('images as of this name: mean {} std {}'.format(*map(list, backbone.published_input.values())))
    line = '; '.join(parts)
    print_log(line, logger='current')
    return line


def timm_tensors(
    backbone: TimmViT, checkpoint: Mapping, branch: str, source: str
) -> tuple[dict[str, Tensor], Counter[str]]:
    """Find the tensors of a timm backbone in a file of timm, in an official one that timm translates, or in a detector.

    Returns:
        The tensors under timm's names, positions resized to the model's grid; and the number of tensors left out, by
        first part of their name.

    Raises:
        CheckpointError: If a tensor is missing, has another shape or no place, or if patches are of another size: timm
            would resize their weights without a word. Or if a number is NaN or infinite.
    """
    layout = open_layout(checkpoint, branch)
    state = _backbone_alone(layout)
    embedding = state.get(ANCHOR)
    side = backbone.vit_patch_size
    try:
        if embedding is not None and embedding.dim() == 4 and embedding.shape[-1] != side:
            raise CheckpointError(f'patches of {embedding.shape[-1]} pixels in the file and of {side} in the model')
        translated = _translated(backbone, state)
        wanted = backbone.vit.state_dict()
        beside = [name for name in translated if name not in wanted and _is_head(backbone, name)]
        tensors = {name: tensor for name, tensor in translated.items() if name not in beside}
        check_tensors(tensors, wanted, module=backbone.spec.model_name)
        for name in wanted:
            if problem := misfit(tensors[name], wanted[name]):
                raise CheckpointError(f'{name} is {problem}')
    except CheckpointError as error:
        raise CheckpointError(f'{source} does not fit timm model {backbone.spec.model_name}: {error}') from None
    return tensors, Counter(f'{name.partition(".")[0]}.*' if '.' in name else name for name in beside)


def _backbone_alone(layout: Layout) -> dict[str, Tensor]:
    """Take a branch's backbone out of a larger model; a file of a backbone alone stays as it is."""
    prefix = layout.prefix or ''
    return {name.removeprefix(prefix): tensor for name, tensor in layout.tensors.items() if name.startswith(prefix)}


def _translated(backbone: TimmViT, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename tensors to those of timm; what its translation cannot make sense of is an error of the file."""
    translate = filter_of(backbone.vit)
    if translate is None:
        return state
    try:
        return dict(translate(dict(state), backbone.vit))
    # Written for files of known authors: anything can come out of it for others.
    except Exception as error:
        reason = ' '.join(str(error).split())[:120]
        raise CheckpointError(f'timm cannot translate it ({type(error).__name__}: {reason})') from None


def _is_head(backbone: TimmViT, name: str) -> bool:
    return name in backbone.head_names or HEADS.match(name) is not None
