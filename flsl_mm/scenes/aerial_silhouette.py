"""Outlines of what is painted into a frame seen from above: what would be seen of it if nothing hid it."""

from dataclasses import dataclass

import numpy as np

from .textures import TILE, noise_tile


@dataclass(frozen=True)
class Silhouette:
    """The outline of a whole vehicle, as if nothing hid it: a mask (h, w) bool whose corner is at (left, top)."""

    mask: np.ndarray
    left: int
    top: int

    def pixels(self) -> int:
        """Return the number of pixels in all."""
        return int(self.mask.sum())

    def pixels_inside(self, size_hw: tuple[int, int]) -> int:
        """Return the number of pixels within a picture of the given height and width."""
        return int(self.within(size_hw).sum())

    def within(self, size_hw: tuple[int, int]) -> np.ndarray:
        """Return the part of the mask that lies within a picture of the given height and width."""
        rows = slice(max(-self.top, 0), max(size_hw[0] - self.top, 0))
        columns = slice(max(-self.left, 0), max(size_hw[1] - self.left, 0))
        return self.mask[rows, columns]

    def box(self) -> tuple[int, int, int, int]:
        """Return left, top, width, height in pixels of the picture; parts outside it count."""
        rows, columns = np.flatnonzero(self.mask.any(axis=1)), np.flatnonzero(self.mask.any(axis=0))
        left, top = int(self.left + columns[0]), int(self.top + rows[0])
        return left, top, int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)

    def enter(self, owners: np.ndarray, number: int) -> None:
        """Write the number into a map (H, W) of the picture wherever the outline covers it, in place."""
        part = self.within(owners.shape)
        self._of(owners, part)[part] = number

    def roughen(self, canvas: np.ndarray, texture: str, strength: float, start: int) -> None:
        """Multiply what the outline covers of a picture (H, W, 3) uint8 by a noise tile, in place.

        Args:
            canvas: The picture.
            texture: Name of the tile; it moves with the outline.
            strength: Standard deviation of the factor.
            start: Row and column of the tile at the outline's corner.
        """
        part = self.within(canvas.shape[:2])
        rows, columns = (
            (np.arange(length) + max(-corner, 0) + start) % TILE
            for length, corner in zip(part.shape, (self.top, self.left), strict=True)
        )
        factor = 1 + strength * part * noise_tile(texture)[np.ix_(rows, columns)]
        region = self._of(canvas, part)
        region[:] = np.clip(region * factor[..., None], 0, 255)

    def _of(self, picture: np.ndarray, part: np.ndarray) -> np.ndarray:
        """Return the view of a picture that lies under `part`, which is what `within` returned."""
        top, left = max(self.top, 0), max(self.left, 0)
        return picture[top : top + part.shape[0], left : left + part.shape[1]]
