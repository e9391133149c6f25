"""FLSL with a second-level loss in which a query counts by how certain the teacher is of its prototype."""

import math

from mmengine.registry import MODELS
from torch import Tensor

from flsl_mm.selfsup import FLSL
from flsl_mm.selfsup.losses import entropy


@MODELS.register_module()
class CertainFLSL(FLSL):
    """FLSL whose queries weigh 1 - entropy / ln K of their targets: 1 for one prototype, 0 for all alike."""

    def inter_loss(self, student_logits: Tensor, targets: Tensor) -> Tensor:
        """Return the weighted mean cross-entropy of logits and targets (B, Q, K)."""
        certainty = 1 - entropy(targets) / math.log(targets.shape[-1])
        of_queries = -(targets * student_logits.log_softmax(-1)).sum(-1)
        return (certainty * of_queries).sum() / certainty.sum()
