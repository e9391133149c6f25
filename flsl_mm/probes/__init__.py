"""What frozen features know, measured on data: probes, and the trivial features that they are compared with.

A probe is built on data and called with a feature source (:mod:`.sources`). Imports evaluation, models, checkpoint,
api, datasets, scenes and visualization; mmengine for the hook only, which is left out where mmengine is missing.
"""

from importlib.util import find_spec

if find_spec('mmengine'):
    from .hook import FLSLProbeHook  # noqa: F401
