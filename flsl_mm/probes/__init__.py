"""What frozen features know, measured on data; imports api, evaluation, datasets, scenes, visualization and below.

A probe is built on data and called with a feature source (:mod:`.sources`): a model, or one of the trivial features
beside which its figures stand. The hook is left out where mmengine is missing.
"""

from importlib.util import find_spec

if find_spec('mmengine'):
    from .hook import FLSLProbeHook  # noqa: F401
