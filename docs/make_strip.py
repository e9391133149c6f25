"""Draw the strip of pictures of README.md and the home page, and the clip of docs/vos.md, from one backbone file.

    python docs/make_strip.py BACKBONE PHOTO --detections PICTURE --strip docs/strip.jpg --clip docs/video.gif

One row of panels: each photo with its features and clusters, a detector's picture, and the last frame of a generated
clip whose first mask was carried on. It prints the J&F of the clip, which belongs beside it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import flsl_mm
from flsl_mm.scenes.painter import render_clip
from flsl_mm.visualization.paint_clusters import enlarged, paint_clusters
from flsl_mm.visualization.pca import color_basis
from flsl_mm.vos.drawing import paint_objects
from flsl_mm.vos.measures import contour_accuracy, region_similarity
from flsl_mm.vos.propagator import FLSLLabelPropagator

PANEL_HW = (192, 256)
CLIP_HW, CLIP_FRAMES, CLIP_SEED = (256, 384), 24, 3
GIF_WIDTH, GIF_COLORS, GIF_FRAME_MS = 320, 64, 90
GAP, BAND = 6, 22


def panel(image: np.ndarray, title: str) -> Image.Image:
    """Fit an image (H, W, 3) into a panel by cutting its longer sides, with its title below."""
    height, width = image.shape[:2]
    rows, columns = PANEL_HW
    factor = max(rows / height, columns / width)
    resized = Image.fromarray(image).resize((round(width * factor), round(height * factor)), Image.Resampling.LANCZOS)
    left, top = (resized.width - columns) // 2, (resized.height - rows) // 2
    result = Image.new('RGB', (columns, rows + BAND), 'white')
    result.paste(resized.crop((left, top, left + columns, top + rows)))
    font = ImageFont.load_default(14)
    ImageDraw.Draw(result).text((columns / 2, rows + BAND / 2 + 1), title, (60, 60, 60), font, anchor='mm')
    return result


def photo_panels(model, photos: list[Path], scale: float) -> list[Image.Image]:
    """Return three panels for each photo: itself, its features as colors, its clusters."""
    images = [np.array(Image.open(path).convert('RGB')) for path in photos]
    features = [model.features(path)[0] for path in photos]
    basis = color_basis(torch.cat([feature.flatten(0, 1) for feature in features]))
    panels = []
    for image, feature in zip(images, features, strict=True):
        colors = (255 * flsl_mm.pca_rgb(feature, basis)).byte().numpy()
        clusters = flsl_mm.mean_shift_clusters(feature, scale=scale).numpy()
        drawn = (image, enlarged(colors, image.shape[:2]), paint_clusters(image, clusters))
        panels += [panel(each, title) for each, title in zip(drawn, ('photo', 'features', 'clusters'), strict=True)]
    return panels


def follow_clip(model) -> tuple[np.ndarray, np.ndarray, float]:
    """Carry the first mask of a generated clip on; return frames (T, H, W, 3), masks (T, H, W) and the mean J&F."""
    scenes = list(render_clip(CLIP_SEED, 0, CLIP_FRAMES, CLIP_HW, split='val'))
    frames = np.stack([scene.image for scene in scenes])
    truth = np.stack([scene.instance_map for scene in scenes]).astype(np.uint8)
    propagator = FLSLLabelPropagator(
        model.backbone, mean=model.spec.mean, std=model.spec.std, progress=False, allow_other_input=True
    )
    masks = np.stack([truth[0], *propagator.segment(frames, truth[0])])
    scores = [
        (region_similarity(mask == number, true == number) + contour_accuracy(mask == number, true == number)) / 2
        for mask, true in zip(masks[1:-1], truth[1:-1], strict=True)
        for number in np.unique(truth[0])[1:]
    ]
    return frames, masks, float(np.mean(scores))


def write_small_gif(path: Path, images: list[np.ndarray]) -> None:
    """Write an animation of few colors, which a page loads fast."""
    height, width = images[0].shape[:2]
    size = GIF_WIDTH, round(height * GIF_WIDTH / width)
    small = [Image.fromarray(image).resize(size, Image.Resampling.LANCZOS) for image in images]
    palette = small[len(small) // 2].quantize(GIF_COLORS)
    first, *rest = (image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small)
    first.save(path, save_all=True, append_images=rest, duration=GIF_FRAME_MS, loop=0)


def main(argv: list[str] | None = None) -> None:
    """Write the strip and the clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('backbone', type=Path)
    parser.add_argument('photos', type=Path, nargs='+')
    parser.add_argument('--detections', type=Path, nargs='*', default=[], help='pictures of `flsl-mm test --show-dir`')
    parser.add_argument('--strip', type=Path, default='docs/strip.jpg')
    parser.add_argument('--clip', type=Path, help='GIF of the clip to write')
    parser.add_argument('--scale', type=float, default=20, help='of the mean shift: greater for more clusters')
    args = parser.parse_args(argv)
    model = flsl_mm.load_model(args.backbone, logger='silent')
    panels = photo_panels(model, args.photos, args.scale)
    for path in args.detections:
        panels.append(panel(np.array(Image.open(path).convert('RGB')), 'detections'))
    frames, masks, score = follow_clip(model)
    panels.append(panel(paint_objects(frames[-1], masks[-1]), 'video, last frame'))
    strip = Image.new('RGB', (len(panels) * (PANEL_HW[1] + GAP) - GAP, PANEL_HW[0] + BAND), 'white')
    for place, each in enumerate(panels):
        strip.paste(each, (place * (PANEL_HW[1] + GAP), 0))
    strip.save(args.strip, quality=88)
    if args.clip:
        write_small_gif(args.clip, [paint_objects(*pair) for pair in zip(frames, masks, strict=True)])
    print(f'{args.strip}: {strip.width}x{strip.height}; J&F of the clip {score:.3f}')


if __name__ == '__main__':
    main()
