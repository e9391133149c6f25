"""Embeddings of many images in files, and neighbors among them; imports api, probes, datasets, fileio and below."""

from .embed import EmbeddingSettings, embed
from .neighbors import draw_neighbors, nearest
from .table import Embeddings, patch_file, read_embeddings

__all__ = [
    'EmbeddingSettings',
    'Embeddings',
    'draw_neighbors',
    'embed',
    'nearest',
    'patch_file',
    'read_embeddings',
]
