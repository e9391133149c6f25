"""Writing procedural scenes as videos in the layouts of UAVDT and of DAVIS-2017."""

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np
from tqdm import tqdm

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.uavdt.sequences import UAVDT_SEQUENCES

from .aerial_scenes import ALTITUDES, VIEWS, WEATHERS, AerialFrame, Conditions, render_aerial_clip
from .output import MAX_PREVIEWS, TreeRequest, Written, draw_boxes, save_image, tint_instances
from .painter import Scene, render_clip
from .specs import Role

UAVDT_TRUTH = Path('UAV-benchmark-MOTD_v1.0', 'GT')
_CATEGORY_COLORS = {1: (60, 230, 60), 2: (255, 220, 40), 3: (60, 220, 255)}
_IGNORE_COLOR = (255, 40, 40)

# With fewer frames an object that leaves the picture in the middle of the clip may never be out of it.
MIN_DAVIS_FRAMES = 5
# Whatever enters is not the last of the objects: DAVIS scores no object beyond the largest id of the first frame.
_ROLES: tuple[tuple[Role, ...], ...] = (('enters', 'returns'), ('returns',), ('enters',), ())


def uavdt_conditions(number: int) -> Conditions:
    """Return the attributes of a split's sequence: any 3 in a row show all nine, the first 27 all combinations."""
    block, round_number = number // 3, number // 9
    return Conditions(
        WEATHERS[number % 3], ALTITUDES[(number + block) % 3], VIEWS[(number + 2 * block + round_number) % 3]
    )


def uavdt_sequences(num: int) -> list[tuple[str, str, int]]:
    """Return (name, split, number within the split) of the first `num` sequences, from both lists in turn."""
    numbered = ([(name, split, i) for i, name in enumerate(names)] for split, names in UAVDT_SEQUENCES.items())
    return [entry for pair in zip_longest(*numbered) for entry in pair if entry][:num]


def write_uavdt(folder: Path, request: TreeRequest) -> Written:
    """Write sequences in the layout of the official UAVDT download, taken from its train and test lists in turn.

    `UAV-benchmark-M/M0101/img000001.jpg` (or `M0101/img1/img000001.jpg`),
    `UAV-benchmark-MOTD_v1.0/GT/M0101_gt_whole.txt` and `M0101_gt_ignore.txt`, and `M_attr/train/M0101_attr.txt`.
    The codes are those of `aerial_scenes`; lines of the ignore files end with 1,-1,-1 as the benchmark's do.
    """
    (folder / UAVDT_TRUTH).mkdir(parents=True)
    pictures: list[np.ndarray] = []
    totals = {split: np.zeros(4, np.int64) for split in UAVDT_SEQUENCES}
    with tqdm(total=request.num * request.frames, unit='frame', disable=not request.progress) as bar:
        for name, split, number in uavdt_sequences(request.num):
            conditions = uavdt_conditions(number)
            attributes = folder / 'M_attr' / split / f'{name}_attr.txt'
            attributes.parent.mkdir(parents=True, exist_ok=True)
            attributes.write_text(','.join(map(str, conditions.flags(request.frames))) + '\n')
            stream = 'train' if split == 'train' else 'val'
            clip = render_aerial_clip(request.seed, number, request.frames, request.size_hw, conditions, stream)
            counts, preview = _write_uavdt_sequence(folder, name, clip, request.image_folder, bar)
            totals[split] += (1, request.frames, *counts)
            pictures += [preview] * (len(pictures) < MAX_PREVIEWS)
    lines = [f'{s}: {t[0]} sequences, {t[1]} frames, {t[2]} boxes, {t[3]} ignore regions' for s, t in totals.items()]
    return Written(lines, pictures)


def _write_uavdt_sequence(
    folder: Path, name: str, clip: Iterable[AerialFrame], image_folder: bool, bar: tqdm
) -> tuple[tuple[int, int], np.ndarray]:
    """Write the frames and the truth of a sequence; return the numbers of boxes and regions, and its last frame."""
    images = folder / 'UAV-benchmark-M' / name / ('img1' if image_folder else '')
    images.mkdir(parents=True)
    boxes, regions = [], []
    for number, frame in enumerate(clip, start=1):
        save_image(images / f'img{number:06d}.jpg', frame.image)
        for target in frame.targets:
            values = (number, target.target_id, *target.box, target.out_of_view, target.occlusion, target.category)
            boxes.append(','.join(map(str, values)))
        for region_id, box in frame.ignored.items():
            regions.append(','.join(map(str, (number, region_id, *box, 1, -1, -1))))
        bar.update()
    for kind, rows in (('whole', boxes), ('ignore', regions)):
        (folder / UAVDT_TRUTH / f'{name}_gt_{kind}.txt').write_text(''.join(f'{row}\n' for row in rows))
    preview = frame.image.copy()
    for category, color in _CATEGORY_COLORS.items():
        draw_boxes(preview, [target.box for target in frame.targets if target.category == category], color)
    draw_boxes(preview, list(frame.ignored.values()), _IGNORE_COLOR)
    return (len(boxes), len(regions)), preview


def write_davis(folder: Path, request: TreeRequest) -> Written:
    """Write videos in the layout of DAVIS-2017.

    `JPEGImages/480p/scene-000/00000.jpg`, `Annotations/480p/scene-000/00000.png` (palette, object ids) and
    `ImageSets/2017/train.txt` and `val.txt`. The first video of each split has an object that leaves and returns and
    one that is not in the first frame, whose id is below the largest one there. In the second one object leaves and
    returns, in the third one comes later, in the fourth all stay, and so on.
    """
    lists = folder / 'ImageSets' / '2017'
    lists.mkdir(parents=True)
    pictures, lines = [], []
    with tqdm(total=request.num * request.frames, unit='frame', disable=not request.progress) as bar:
        for split, number in request.split_sizes().items():
            names, objects = [], 0
            for index in range(number):
                names.append(f'scene-{index:03d}' if split == 'train' else f'scene-val-{index:03d}')
                roles = _ROLES[index % len(_ROLES)]
                clip = list(render_clip(request.seed, index, request.frames, request.size_hw, split, roles))
                objects += _write_davis_video(folder, names[-1], clip, bar)
                shown = [clip[i] for i in np.linspace(0, request.frames - 1, 6).astype(int)]
                pictures += [tint_instances(scene.image, scene.instance_map) for scene in shown]
            (lists / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))
            lines.append(f'{split}: {number} videos, {number * request.frames} frames, {objects} objects')
    return Written(lines, pictures[:MAX_PREVIEWS])


def _write_davis_video(folder: Path, name: str, clip: Sequence[Scene], bar: tqdm) -> int:
    """Write the frames and masks of a video; return the number of objects, whose ids count from 1."""
    images, masks = (folder / kind / '480p' / name for kind in ('JPEGImages', 'Annotations'))
    images.mkdir(parents=True)
    masks.mkdir(parents=True)
    seen = np.unique(np.concatenate([np.unique(scene.instance_map) for scene in clip]))
    seen = seen[seen > 0]
    ids = np.zeros(len(clip[0].labels) + 1, np.uint8)
    ids[seen] = np.arange(1, len(seen) + 1)
    for number, scene in enumerate(clip):
        save_image(images / f'{number:05d}.jpg', scene.image)
        write_palette_mask(masks / f'{number:05d}.png', ids[scene.instance_map])
        bar.update()
    return len(seen)
