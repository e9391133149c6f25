"""Export to ONNX and ``torch.export``: graphs that need no Python of this package."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from flsl_mm.evaluation.features import FeatureExtractor
from flsl_mm.models.spec import SPEC_KEY

from .check import other_hw, silenced
from .traceable import TraceableFeatures

ONNX_PACKAGES = ('onnx', 'onnxscript', 'onnxruntime')
"""What writing an ONNX file, and checking it, needs."""


def traced(model: FeatureExtractor, size_hw: tuple[int, int] | None) -> ExportedProgram:
    """Trace the features for batches of any length and images of any size above one patch, or of one size."""
    dims: dict[int, object] = {0: Dim('batch')}
    if size_hw is None:
        dims |= {axis: Dim(name, min=model.patch_size + 1) for axis, name in ((2, 'height'), (3, 'width'))}
    # A length of one would be taken for a constant.
    example = torch.rand(2, 3, *(size_hw or other_hw(model.spec)))
    with torch.no_grad(), silenced():
        return torch.export.export(TraceableFeatures(model).eval(), (example,), dynamic_shapes=dict(images=dims))


def write_program(model: FeatureExtractor, path: Path, size_hw: tuple[int, int] | None) -> None:
    """Write the graph for ``torch.export.load``."""
    extra_files = {f'{SPEC_KEY}.json': json.dumps(model.spec.to_dict())}
    torch.export.save(traced(model, size_hw), path, extra_files=extra_files)


def load_program(path: Path) -> Callable[[Tensor], Tensor]:
    """Load what :func:`write_program` wrote."""
    return torch.export.load(path).module()


def check_onnx_packages() -> None:
    """Raise ImportError at once if one of :data:`ONNX_PACKAGES` is missing."""
    if missing := [name for name in ONNX_PACKAGES if not find_spec(name)]:
        raise ImportError(f"ONNX files need {', '.join(missing)}: pip install 'flsl_mm[export]'")


def write_onnx(model: FeatureExtractor, path: Path, size_hw: tuple[int, int] | None) -> None:
    """Write the graph as one ONNX file, input ``images``, output ``features``."""
    program = traced(model, size_hw)
    with silenced():
        graph = torch.onnx.export(program, (), input_names=['images'], output_names=['features'], verbose=False)
    graph.model.metadata_props[SPEC_KEY] = json.dumps(model.spec.to_dict())
    graph.save(path, external_data=False)


def load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """Load an ONNX file of :func:`write_onnx` in onnxruntime, on the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])
    return lambda images: torch.from_numpy(session.run(['features'], {'images': images.numpy()})[0])
