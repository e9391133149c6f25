"""Embeddings of many images in files, and neighbours among them; imports api, probes, datasets, fileio and below."""

from .embed import EmbeddingSettings, embed
from .neighbours import draw_neighbours, nearest
from .table import Embeddings, patch_file, read_embeddings

__all__ = [
    'EmbeddingSettings',
    'Embeddings',
    'draw_neighbours',
    'embed',
    'nearest',
    'patch_file',
    'read_embeddings',
]
