"""Write clips of moving objects in the layout of UAVDT, with attributes, occlusions and ignore regions.

Three classes of objects stand for car, truck and bus; the others are left out. The attributes show in the images:
night is dark, fog pales them, the higher the camera the smaller the objects, and the view is the direction in which
they move: along the image's height (front), its width (side), or any (bird).
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from flsl_mm.utils.terminal import ProgressLines, open_progress

from .output import MAX_PREVIEWS, Box, TreeRequest, Written, draw_boxes, save_image
from .painter import CLASSES, Outline, instance_boxes, paint_scene
from .specs import SceneSpec, sample_scene, scene_generator

CATEGORIES = {'ball': 1, 'crate': 2, 'mushroom': 3}
"""Category (1 car, 2 truck, 3 bus) by the class of objects that stands for it."""
WEATHERS = ('daylight', 'night', 'fog')
ALTITUDES = ('low', 'medium', 'high')
VIEWS = ('front', 'side', 'bird')
TRUTH = Path('UAV-benchmark-MOTD_v1.0', 'GT')

_STREAM = 2  # of random numbers; `painter` has 0 and 1
_DRAWN = 14  # objects of a scene; half of them are of the three classes
_NIGHT, _HAZE, _HAZE_LEVEL = 0.3, 0.55, 205.0
_SIZES = {'low': 1.0, 'medium': 0.7, 'high': 0.5}
_DIRECTIONS = {'front': (0.0, 1.0), 'side': (1.0, 0.0), 'bird': (1.0, 1.0)}
_LONG_TERM_FRAMES = 1500
_COLORS = {1: (60, 230, 60), 2: (255, 220, 40), 3: (60, 220, 255)}
_REGION_COLOR = (255, 40, 40)


@dataclass(frozen=True)
class Conditions:
    """The attributes of a sequence: one of ``WEATHERS``, one of ``ALTITUDES`` and one of ``VIEWS``."""

    weather: str
    altitude: str
    view: str

    @classmethod
    def of_sequence(cls, number: int) -> 'Conditions':
        """Return those of a split's sequence: any three in a row show all nine, the first 27 all combinations."""
        block, turn = number // 3, number // 9
        return cls(WEATHERS[number % 3], ALTITUDES[(number + block) % 3], VIEWS[(number + 2 * block + turn) % 3])

    def flags(self, num_frames: int) -> list[int]:
        """Return UAVDT's ten flags: three each of weather, altitude and view, and long-term."""
        chosen = (self.weather, self.altitude, self.view)
        return [*(int(name in chosen) for name in WEATHERS + ALTITUDES + VIEWS), int(num_frames >= _LONG_TERM_FRAMES)]


def apply_conditions(spec: SceneSpec, conditions: Conditions) -> SceneSpec:
    """Leave the objects of other classes away, scale and direct the rest, and make night dark."""
    size, direction = _SIZES[conditions.altitude], np.array(_DIRECTIONS[conditions.view])
    objects = []
    for item in spec.objects:
        if CLASSES[item.label] in CATEGORIES:
            motion = replace(item.motion, drift=item.motion.drift * direction, sway=item.motion.sway * direction)
            objects.append(replace(item, radius=item.radius * size, motion=motion))
    gain = spec.gain * (_NIGHT if conditions.weather == 'night' else 1.0)
    return replace(spec, objects=tuple(objects), gain=gain.astype(np.float32))


def add_haze(image: np.ndarray) -> np.ndarray:
    """Blend an image (H, W, 3) uint8 with the gray of fog."""
    return np.rint(image * (1 - _HAZE) + _HAZE_LEVEL * _HAZE).astype(np.uint8)


def sample_regions(rng: np.random.Generator, number: int, size_hw: tuple[int, int]) -> list[Box]:
    """Draw the ignore regions of a split's sequence, within the image: one in every other sequence."""
    if number % 2 == 0:
        return []
    limits = np.array(size_hw[::-1])
    extent = limits * rng.uniform(0.25, 0.45, 2)
    corner = (limits - extent) * rng.uniform(0, 1, 2)
    return [tuple(int(value) for value in (*corner, *extent))]


def annotate(outline: Outline, visible: int, size_hw: tuple[int, int], regions: list[Box]) -> tuple[int, ...] | None:
    """Return an object's box and its codes, or None where UAVDT would not annotate it.

    Annotated is what has 12 pixels and a tenth of its part in the image to be seen, at least half of it in the
    image, and less than half of its box in an ignore region.

    Args:
        outline: All of the object.
        visible: Number of its pixels that can be seen.
        size_hw: Height and width of the image.
        regions: Ignore regions.

    Returns:
        Left, top, width, height of the whole object; out of view (1 no, 2 medium: 30 to 50%, 3 small); occlusion of the
        part in the image (1 no, 2 large: over 70%, 3 medium, 4 small: up to 30%). Up to 1% counts as no.
    """
    if visible < 12:
        return None
    left, top, mask = outline
    whole = int(mask.sum())
    inside = int(mask[max(-top, 0) : size_hw[0] - top, max(-left, 0) : size_hw[1] - left].sum())
    outside_share, hidden_share = (whole - inside) / whole, (inside - visible) / inside
    x, y, width, height = instance_boxes(mask, 1)[0].tolist()
    box = (left + x, top + y, width, height)
    if outside_share > 0.5 or hidden_share > 0.9 or any(_share_inside(box, region) >= 0.5 for region in regions):
        return None
    out_of_view = 1 if outside_share <= 0.01 else 3 if outside_share <= 0.3 else 2
    occlusion = 1 if hidden_share <= 0.01 else 4 if hidden_share <= 0.3 else 3 if hidden_share <= 0.7 else 2
    return (*box, out_of_view, occlusion)


def _share_inside(box: Box, region: Box) -> float:
    """Return the share of a box that lies in a region; both left, top, width, height."""
    left, top, width, height = box
    across = min(left + width, region[0] + region[2]) - max(left, region[0])
    down = min(top + height, region[1] + region[3]) - max(top, region[1])
    return max(across, 0) * max(down, 0) / (width * height)


def write_uavdt(folder: Path, request: TreeRequest) -> Written:
    """Write sequences in the layout of the UAVDT download; the request's split val is UAVDT's test.

    ``UAV-benchmark-M/S0001/img000001.jpg`` (or ``S0001/img1/img000001.jpg``),
    ``UAV-benchmark-MOTD_v1.0/GT/S0001_gt_whole.txt`` and ``S0001_gt_ignore.txt``, and ``M_attr/train/S0001_attr.txt``.
    """
    (folder / TRUTH).mkdir(parents=True)
    previews, lines, first = [], [], 1
    with open_progress(request.num * request.frames, 'scenes', 'frame', show=request.progress) as bar:
        for stream, num_sequences in request.split_sizes().items():
            split, totals = {'train': 'train', 'val': 'test'}[stream], np.zeros(2, int)
            for number in range(num_sequences):
                name = f'S{first + number:04d}'
                attributes = folder / 'M_attr' / split / f'{name}_attr.txt'
                attributes.parent.mkdir(parents=True, exist_ok=True)
                flags = Conditions.of_sequence(number).flags(request.frames)
                attributes.write_text(','.join(map(str, flags)) + '\n')
                counts, preview = _write_sequence(folder, name, number, stream, request, bar)
                totals += counts
                previews += [preview] * (len(previews) < MAX_PREVIEWS)
            first += num_sequences
            frames = num_sequences * request.frames
            lines.append(
                f'{split}: {num_sequences} sequences, {frames} frames, {totals[0]} boxes, {totals[1]} ignore regions'
            )
    return Written(lines, previews)


def _write_sequence(
    folder: Path, name: str, number: int, stream: str, request: TreeRequest, bar: ProgressLines
) -> tuple[tuple[int, int], np.ndarray]:
    """Write the frames and the truth of a sequence; return the numbers of boxes and regions, and its last frame."""
    images = folder / 'UAV-benchmark-M' / name / ('img1' if request.image_folder else '')
    images.mkdir(parents=True)
    rng = scene_generator(_STREAM, request.seed, stream, number)
    conditions = Conditions.of_sequence(number)
    spec = apply_conditions(sample_scene(rng, request.size_hw, ('stays',) * (_DRAWN - 1)), conditions)
    regions = sample_regions(rng, number, request.size_hw)
    boxes, ignored = [], []
    for frame in range(1, request.frames + 1):
        scene = paint_scene(spec, (frame - 1) / max(request.frames - 1, 1))
        image = add_haze(scene.image) if conditions.weather == 'fog' else scene.image
        save_image(images / f'img{frame:06d}.jpg', image)
        visible = np.bincount(scene.instance_map.ravel(), minlength=len(scene.labels) + 1)[1:]
        found = []
        for target, (label, outline) in enumerate(zip(scene.labels, scene.outlines, strict=True), start=1):
            row = annotate(outline, int(visible[target - 1]), request.size_hw, regions)
            if row is not None:
                found.append((frame, target, *row, CATEGORIES[CLASSES[label]]))
        boxes += found
        ignored += [(frame, target, *region, 1, -1, -1) for target, region in enumerate(regions, start=1)]
        bar.update()
    for kind, rows in (('whole', boxes), ('ignore', ignored)):
        text = ''.join(','.join(map(str, row)) + '\n' for row in rows)
        (folder / TRUTH / f'{name}_gt_{kind}.txt').write_text(text)
    shown = [(row[2:6], _COLORS[row[-1]]) for row in found] + [(region, _REGION_COLOR) for region in regions]
    return (len(boxes), len(ignored)), draw_boxes(image, shown)
