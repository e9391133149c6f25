"""Draw the method: `python docs/make_method.py` writes docs/method.svg.

The views are real, cut by the package's own code. Patches are colored by the scene's true objects, so that the drawing
shows what the mean shifts are for, not what some network does.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flsl_mm.scenes.painter import render_scene
from flsl_mm.selfsup.crops import crop_resize
from flsl_mm.selfsup.photometric import PhotometricPolicy, apply_photometric, draw_photometric
from flsl_mm.selfsup.queries import sample_queries

OUT = Path(__file__).with_name('method.svg')
SCENE = dict(seed=0, index=2, size_hw=(256, 256), split='val')
TEACHER_BOX = (10, 14, 236, 236)
STUDENT_BOXES = {'global': (8, 40, 176, 172), 'local 1': (30, 118, 84, 88), 'local 2': (128, 70, 92, 84)}
"""(left, top, width, height) of the teacher view in the scene, and of student views in the teacher view of 224."""
COLORS = ('#9aa5b1', '#0f8b8d', '#ec9a29', '#a8201a', '#4f5d9c', '#7cb518', '#c77dff')
VIEW_COLORS = {'global': '#143642', 'local 1': '#d1495b', 'local 2': '#2e86ab'}
INK, STUDENT, TEACHER = '#1f2933', '#2e86ab', '#c9741a'


def cut(image: torch.Tensor, box: tuple[int, ...], size: int) -> torch.Tensor:
    """Cut a box out of an image (1, 3, H, W) as the preprocessor does."""
    return crop_resize(image, torch.tensor([box]), size)


def data_uri(image: torch.Tensor) -> str:
    """Return an image (1, 3, H, W), 0 to 1, as the address of a JPEG inside the file."""
    buffer = io.BytesIO()
    pixels = (255 * image[0].permute(1, 2, 0)).byte().numpy()
    Image.fromarray(pixels).save(buffer, 'JPEG', quality=82)
    return 'data:image/jpeg;base64,' + base64.b64encode(buffer.getvalue()).decode()


def text(
    x: float, y: float, words: str, size: int = 13, color: str = INK, anchor: str = 'middle', weight: str = 'normal'
) -> str:
    style = f'font-size="{size}" fill="{color}" text-anchor="{anchor}" font-weight="{weight}"'
    return f'<text x="{x}" y="{y}" {style}>{words}</text>'


def picture(image: torch.Tensor, x: float, y: float, side: float, edge: str = INK) -> str:
    return (
        f'<image x="{x}" y="{y}" width="{side}" height="{side}" href="{data_uri(image)}"/>'
        f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="none" stroke="{edge}" stroke-width="2.5"/>'
    )


def box_on(x: float, y: float, side: float, box: tuple[int, ...], extent: int, color: str) -> str:
    left, top, width, height = (side * value / extent for value in box)
    return (
        f'<rect x="{x + left:.1f}" y="{y + top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="none" '
        f'stroke="{color}" stroke-width="2.5" stroke-dasharray="6 3"/>'
    )


def arrow(*points: tuple[float, float], color: str = INK, dashed: bool = False) -> str:
    path = 'M' + ' L'.join(f'{x:.1f} {y:.1f}' for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ''
    return f'<path d="{path}" fill="none" stroke="{color}" stroke-width="1.8" marker-end="url(#tip)"{dash}/>'


def block(x: float, y: float, width: float, height: float, words: str, color: str) -> str:
    return f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="{color}"/>' + text(
        x + width / 2, y + height / 2 + 5, words, 14, 'white', weight='bold'
    )


def patches(objects: np.ndarray, x: float, y: float, side: float, queries: set[int] = frozenset()) -> str:
    """Draw a grid of patches (h, w) in the colors of their objects; queries are dots."""
    columns = objects.shape[1]
    step, shapes = side / columns, []
    for place, number in enumerate(objects.flatten()):
        row, column = divmod(place, columns)
        left, top = x + column * step, y + row * step
        shapes.append(
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{step - 1:.1f}" height="{step - 1:.1f}" '
            f'fill="{COLORS[number % len(COLORS)]}" opacity="0.75"/>'
        )
        if place in queries:
            shapes.append(f'<circle cx="{left + step / 2:.1f}" cy="{top + step / 2:.1f}" r="2.3" fill="{INK}"/>')
    return ''.join(shapes)


def cloud(x: float, y: float, numbers: list[int], title: str, formula: str, seed: int) -> str:
    """Draw features as points around the mode of their object, and the step of one query to its mode."""
    random = np.random.default_rng(seed)
    centers = {number: (x + 38 + 74 * (i % 2), y + 42 + 58 * (i // 2)) for i, number in enumerate(numbers)}
    shapes = [f'<rect x="{x}" y="{y}" width="150" height="142" rx="8" fill="#f4f6f8" stroke="#cbd2d9"/>']
    for number, center in centers.items():
        for px, py in random.normal(center, 11, (16, 2)):
            shapes.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3.4" fill="{COLORS[number]}" opacity="0.7"/>')
    cx, cy = centers[numbers[1]]
    shapes += [
        f'<circle cx="{cx + 24}" cy="{cy + 27}" r="4.5" fill="{INK}"/>',
        text(cx + 31, cy + 41, 'q', 13, weight='bold'),
        arrow((cx + 22, cy + 24), (cx + 4, cy + 5)),
        text(x + 75, y - 26, title, 14, weight='bold'),
        text(x + 75, y - 8, formula, 13),
    ]
    return ''.join(shapes)


def assignment(x: float, y: float, heights: list[int], color: str) -> str:
    """Draw a distribution over prototypes as bars that stand at y."""
    return ''.join(
        f'<rect x="{x + 22 * i}" y="{y - height}" width="14" height="{height}" fill="{color}"/>'
        for i, height in enumerate(heights)
    )


def views() -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor], dict[str, np.ndarray]]:
    """Return scene, teacher view and student views (1, 3, H, W), and the objects of the patches of each view."""
    scene = render_scene(**SCENE)
    image = torch.from_numpy(scene.image).permute(2, 0, 1)[None] / 255
    objects = torch.from_numpy(scene.instance_map)
    left, top, width, height = TEACHER_BOX
    inside = objects[top : top + height, left : left + width]
    teacher = cut(image, TEACHER_BOX, 224)
    generator = torch.Generator().manual_seed(7)
    students, grids = {}, {'teacher': to_patches(inside, 14)}
    for name, box in STUDENT_BOXES.items():
        view = cut(teacher, box, 224 if name == 'global' else 96)
        students[name] = apply_photometric(view, draw_photometric(1, PhotometricPolicy(), generator))
        x, y, w, h = (round(value * width / 224) for value in box)
        grids[name] = to_patches(inside[y : y + h, x : x + w], 14 if name == 'global' else 6)
    return image, teacher, students, grids


def to_patches(objects: torch.Tensor, side: int) -> np.ndarray:
    """Return the object in the middle of each of side x side patches."""
    rows, columns = (((torch.arange(side) + 0.5) * extent / side).long() for extent in objects.shape)
    return objects[rows][:, columns].numpy()


def drawing() -> str:
    """Return the file's text."""
    image, teacher, students, grids = views()
    torch.manual_seed(0)  # of the queries
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1180 550" font-family="Helvetica, Arial, sans-serif">',
        '<title>FLSL: views, patches, two mean shifts, prototypes</title>',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        f'<path d="M0 0 L8 4 L0 8 z" fill="{INK}"/></marker></defs>',
        '<rect width="1180" height="550" rx="14" fill="white"/>',
        # image and views
        picture(image, 20, 190, 150), box_on(20, 190, 150, TEACHER_BOX, 256, TEACHER), text(95, 182, 'image'),
        arrow((174, 265), (196, 265), (196, 135), (216, 135)), arrow((297, 216), (297, 298)),
        picture(teacher, 222, 60, 150, TEACHER), text(297, 50, 'teacher view', color=TEACHER, weight='bold'),
        *(box_on(222, 60, 150, box, 224, VIEW_COLORS[name]) for name, box in STUDENT_BOXES.items()),
        text(305, 262, 'crops, each with', 12, anchor='start'), text(305, 278, 'its own jitter', 12, anchor='start'),
        text(297, 318, 'student views', color=STUDENT, weight='bold'),
        picture(students['global'], 222, 328, 104, VIEW_COLORS['global']),
        picture(students['local 1'], 222, 440, 62, VIEW_COLORS['local 1']),
        picture(students['local 2'], 296, 440, 62, VIEW_COLORS['local 2']),
        # networks
        arrow((378, 135), (404, 135)), block(410, 105, 104, 60, 'teacher ViT', TEACHER),
        arrow((378, 400), (404, 400)), block(410, 370, 104, 60, 'student ViT', STUDENT),
        arrow((462, 364), (462, 172), dashed=True), text(470, 262, 'moving', 12, anchor='start'),
        text(470, 278, 'average', 12, anchor='start'),
        # patches
        arrow((518, 135), (546, 135)), arrow((518, 400), (546, 400)),
        text(617, 50, 'patches t', weight='bold'), patches(grids['teacher'], 552, 60, 130),
        text(617, 318, 'patches z, queries q', weight='bold'),
    ]  # fmt: skip
    for name, (x, y, side) in {'global': (552, 328, 104), 'local 1': (552, 440, 62), 'local 2': (626, 440, 62)}.items():
        grid = grids[name]
        queries = sample_query_places(grid.shape)
        parts.append(patches(grid, x, y, side, queries))
    numbers = [int(n) for n in np.unique(grids['teacher'])][:4]
    parts += [
        text(617, 522, 'a query is one random', 12), text(617, 538, 'patch of every 2 x 2', 12),
        # mean shifts
        arrow((690, 135), (744, 135)), cloud(750, 62, numbers, 'cross mean shift', 'm⁺ = softmax(q tᵀ) t', 1),
        arrow((694, 400), (744, 400)), cloud(750, 338, numbers, 'self mean shift', 'm = softmax(q zᵀ) z', 2),
        arrow((664, 300), (664, 250), (825, 250), (825, 210)), text(672, 244, 'q', weight='bold', anchor='start'),
        text(825, 500, 'intra-view loss', 14, STUDENT, weight='bold'), text(825, 518, 'q is drawn to its mode m', 12),
        # heads and prototypes
        arrow((904, 135), (938, 135)), block(944, 110, 66, 50, 'head', TEACHER), arrow((1014, 135), (1036, 135)),
        arrow((904, 400), (938, 400)), block(944, 375, 66, 50, 'head', STUDENT), arrow((1014, 400), (1036, 400)),
        arrow((977, 369), (977, 167), dashed=True),
        assignment(1044, 160, [8, 62, 12, 5, 3, 4], TEACHER), text(1105, 82, 'p⁺', weight='bold'),
        assignment(1044, 425, [14, 44, 20, 9, 7, 6], STUDENT), text(1105, 366, 'p', weight='bold'),
        *(f'<circle cx="{1051 + 22 * i}" cy="{178}" r="5" fill="{INK}"/>' for i in range(6)),
        *(f'<circle cx="{1051 + 22 * i}" cy="{443}" r="5" fill="{INK}"/>' for i in range(6)),
        text(1106, 202, 'prototypes, shared by', 12), text(1106, 217, 'all images', 12),
        arrow((1106, 352), (1106, 318)), arrow((1106, 226), (1106, 258)),
        text(1106, 278, 'inter-view loss', 14, STUDENT, weight='bold'), text(1106, 298, 'p must agree with p⁺', 12),
        text(1106, 500, 'volume term', 14, STUDENT, weight='bold'), text(1106, 518, 'all prototypes are used', 12),
        '</svg>\n',
    ]  # fmt: skip
    return '\n'.join(parts)


def sample_query_places(grid_hw: tuple[int, int]) -> set[int]:
    """Return the places of a view's queries, drawn as in training."""
    return set(sample_queries(1, grid_hw, window=2).flatten().tolist())


if __name__ == '__main__':
    OUT.write_text(drawing(), encoding='utf-8')
