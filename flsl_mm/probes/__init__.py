"""What frozen features know, measured on data: probes, and the trivial features that they are compared with.

A probe is built on data and called with a feature source (:mod:`.sources`). Imports evaluation, models, checkpoint,
api, datasets, scenes and visualization; mmengine in `hook` only, which a config names in its ``custom_imports``.
"""
