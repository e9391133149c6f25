"""The log file ``scalars.json`` as valid JSON, whatever is logged."""

from __future__ import annotations

import math
from typing import Any

from mmengine.registry import VISBACKENDS
from mmengine.visualization import LocalVisBackend


@VISBACKENDS.register_module()
class FLSLVisBackend(LocalVisBackend):
    """MMEngine's ``LocalVisBackend`` that writes numbers which JSON does not know, NaN and infinity, as null."""

    def _dump(self, value_dict: dict, file_path: str, file_format: str) -> None:
        super()._dump({name: without_nan(value) for name, value in value_dict.items()}, file_path, file_format)


def without_nan(value: Any) -> Any:
    """Replace a number that is not finite by None."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
