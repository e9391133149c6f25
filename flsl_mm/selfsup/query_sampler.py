"""Sampler of the queries of the student views; a config can name another."""

from __future__ import annotations

from mmengine.registry import TASK_UTILS
from torch import Tensor

from .queries import sample_queries


@TASK_UTILS.register_module()
class FLSLWindowQueries:
    """One query from each window of tokens, see :func:`~.queries.sample_queries`; the sampler of the paper.

    Another sampler is a class in ``TASK_UTILS`` whose objects are called in the same way, named in
    ``model.query_sampler``.

    Args:
        member: ``'random'`` draws a member of each window (paper), ``'first'`` takes its top-left one (released code).
    """

    def __init__(self, member: str = 'random') -> None:
        self.member = member

    def __call__(self, tokens: Tensor, grid_hw: tuple[int, int], window: int) -> Tensor:
        """Choose the queries of views of one size.

        Args:
            tokens: The student's tokens of these views (B, N, C), B images times views.
            grid_hw: Their grid (h, w), h * w = N.
            window: Side of the windows in tokens, as the crops of this kind say.

        Returns:
            Token indices (B, Q), int64, on the tokens' device; the same Q for every view.
        """
        return sample_queries(len(tokens), grid_hw, window, self.member, tokens.device)
