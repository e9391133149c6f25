"""Write procedural scenes as videos in the layout of DAVIS-2017."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flsl_mm.datasets.palette import write_palette_mask
from flsl_mm.utils.terminal import ProgressLines, open_progress

from .output import MAX_PREVIEWS, TreeRequest, Written, save_image, tint_instances
from .painter import Scene, render_clip
from .specs import Role

# With fewer frames an object that leaves the image in the middle of the clip may never be out of it.
MIN_DAVIS_FRAMES = 5
# Whatever enters is not the last of the objects: DAVIS scores no object beyond the largest id of the first frame.
_ROLES: tuple[tuple[Role, ...], ...] = (('enters', 'returns'), ('returns',), ('enters',), ())


def write_davis(folder: Path, request: TreeRequest) -> Written:
    """Write videos in the layout of DAVIS-2017.

    ``JPEGImages/480p/scene-000/00000.jpg``, ``Annotations/480p/scene-000/00000.png`` (palette, object ids) and
    ``ImageSets/2017/train.txt`` and ``val.txt``. The first video of each split has an object that leaves and returns
    and one that is not in the first frame, whose id is below the largest one there. In the second one object leaves and
    returns, in the third one comes later, in the fourth all stay, and so on.
    """
    lists = folder / 'ImageSets' / '2017'
    lists.mkdir(parents=True)
    previews, lines = [], []
    with open_progress(request.num * request.frames, 'scenes', 'frame', show=request.progress) as bar:
        for split, number in request.split_sizes().items():
            names, objects = [], 0
            for index in range(number):
                names.append(f'scene-{index:03d}' if split == 'train' else f'scene-val-{index:03d}')
                roles = _ROLES[index % len(_ROLES)]
                clip = list(render_clip(request.seed, index, request.frames, request.size_hw, split, roles))
                objects += _write_davis_video(folder, names[-1], clip, bar)
                shown = [clip[i] for i in np.linspace(0, request.frames - 1, 6).astype(int)]
                previews += [tint_instances(scene.image, scene.instance_map) for scene in shown]
            (lists / f'{split}.txt').write_text(''.join(f'{name}\n' for name in names))
            lines.append(f'{split}: {number} videos, {number * request.frames} frames, {objects} objects')
    return Written(lines, previews[:MAX_PREVIEWS])


def _write_davis_video(folder: Path, name: str, clip: Sequence[Scene], bar: ProgressLines) -> int:
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
