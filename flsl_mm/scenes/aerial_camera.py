"""A pinhole camera over a flat world, for the scenes seen from above.

World coordinates are metres: x to the right and y along the main road on the ground, z up.
"""

from dataclasses import dataclass

import cv2
import numpy as np

_SUBPIXEL_BITS = 4


@dataclass(frozen=True)
class Camera:
    """A camera without roll.

    Args:
        position: (3,) in metres.
        axes: (3, 3), rows: the camera's right, down and forward as world vectors.
        focal: Focal length in pixels.
        size_hw: Height and width of the picture in pixels; the optical axis meets its centre.
    """

    position: np.ndarray
    axes: np.ndarray
    focal: float
    size_hw: tuple[int, int]

    @classmethod
    def look_at(
        cls, target: np.ndarray, distance: float, heading: float, pitch: float, focal: float, size_hw: tuple[int, int]
    ) -> 'Camera':
        """Aim at a point of the ground.

        Args:
            target: (2,) point of the ground at the picture's centre.
            distance: From the camera to that point, in metres.
            heading: Direction of view over the ground in radians, clockwise from the y axis.
            pitch: Angle below the horizon in radians, pi / 2 to look straight down.
            focal, size_hw: As for the class.
        """
        sin_h, cos_h, sin_p, cos_p = np.sin(heading), np.cos(heading), np.sin(pitch), np.cos(pitch)
        forward = np.array([sin_h * cos_p, cos_h * cos_p, -sin_p])
        right = np.array([cos_h, -sin_h, 0.0])
        axes = np.stack([right, np.cross(forward, right), forward])
        return cls(np.array([*target, 0.0]) - distance * forward, axes, focal, size_hw)

    def project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixels (..., 2) x, y and the depths (...) in metres of world points (..., 3)."""
        seen = (points - self.position) @ self.axes.T
        depth = seen[..., 2]
        height, width = self.size_hw
        pixels = seen[..., :2] * (self.focal / np.maximum(depth, 0.1))[..., None]
        return pixels + np.array([width / 2, height / 2]), depth

    def ground_homography(self) -> np.ndarray:
        """Return the (3, 3) map from ground (x, y, 1) to homogeneous pixels."""
        height, width = self.size_hw
        matrix = np.array([[self.focal, 0, width / 2], [0, self.focal, height / 2], [0, 0, 1.0]])
        return matrix @ np.column_stack([self.axes[:, 0], self.axes[:, 1], -self.axes @ self.position])

    def ground_extent(self) -> np.ndarray:
        """Return the ground points (4, 2) at the picture's corners; the upper edge must lie below the horizon."""
        height, width = self.size_hw
        corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1.0]])
        ground = corners @ np.linalg.inv(self.ground_homography()).T
        return ground[:, :2] / ground[:, 2:]

    def row_distances(self) -> np.ndarray:
        """Return (H,) the distance in metres to the ground along the middle of each row of pixels."""
        height = self.size_hw[0]
        rows = (np.arange(height) + 0.5 - height / 2) / self.focal
        down = -(self.axes[2, 2] + rows * self.axes[1, 2])
        return self.position[2] * np.sqrt(1 + rows**2) / np.maximum(down, 1e-3)


def fill(canvas: np.ndarray, polygon: np.ndarray, color: tuple[int, ...] | int, smooth: bool = True) -> None:
    """Fill a convex polygon (K, 2) of pixels x, y, in place, to a sixteenth of a pixel.

    Args:
        canvas: (H, W) or (H, W, 3) uint8.
        polygon: Corners; parts outside the canvas are clipped.
        color: Value of the pixels.
        smooth: Whether the outline is antialiased.
    """
    fixed = np.rint(polygon * (1 << _SUBPIXEL_BITS)).astype(np.int32)
    line = cv2.LINE_AA if smooth else cv2.LINE_8
    cv2.fillConvexPoly(canvas, fixed, color, lineType=line, shift=_SUBPIXEL_BITS)
