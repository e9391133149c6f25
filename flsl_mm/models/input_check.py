"""Compare the normalization of a model's images with that of its backbone's training."""

from __future__ import annotations

from collections.abc import Sequence

from .spec import BackboneSpec

TOLERANCE = 0.01
"""Greatest difference of means and deviations, for pixel values 0 to 1, that counts as none. DAVIS's deviation of red
is 0.001 off ImageNet's; other usual normalizations are 0.02 off and more."""


def input_mismatch(spec: BackboneSpec, mean: Sequence[float], std: Sequence[float], bgr: bool = False) -> str | None:
    """Describe in half a sentence how a backbone's images would differ from those of its training.

    Args:
        spec: The backbone, with the mean and deviation of red, green and blue that its file records, or None.
        mean: What is subtracted from the channels, for pixel values 0 to 1.
        std: What they are divided by.
        bgr: Whether the channels are blue, green, red.

    Returns:
        None where they do not differ, or where the file says nothing.
    """
    if spec.mean is None or spec.std is None:
        return None
    pairs = [*zip(spec.mean, mean, strict=True), *zip(spec.std, std, strict=True)]
    if not bgr and max(abs(recorded - configured) for recorded, configured in pairs) <= TOLERANCE:
        return None
    return (
        f'the backbone was trained on RGB images of mean {rounded(spec.mean)} and std {rounded(spec.std)}, and would '
        f'get {"BGR" if bgr else "RGB"} of mean {rounded(mean)} and std {rounded(std)}'
    )


def rounded(values: Sequence[float], scale: float = 1) -> list[float]:
    """Scale values and leave out the digits that messages do not need."""
    return [round(float(value) * scale, 3) for value in values]
