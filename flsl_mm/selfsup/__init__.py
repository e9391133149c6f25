"""The method: views, mean shift, losses, teacher. The only room that imports mmpretrain; imports models and engine.

Its pure functions (crops, photometric, queries, mean_shift, losses, teacher) can be imported without OpenMMLab.
"""

try:
    import mmengine  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != 'mmengine':
        raise
else:
    from flsl_mm import engine
    from flsl_mm.datasets import images, sampler, shards

    from .flsl import FLSL
    from .query_sampler import FLSLWindowQueries
    from .views import FLSLDataPreprocessor

    __all__ = ['FLSL', 'FLSLDataPreprocessor', 'FLSLWindowQueries', 'engine', 'images', 'sampler', 'shards']
