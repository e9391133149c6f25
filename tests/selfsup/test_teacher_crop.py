"""A teacher view that is a crop of its own: boxes, queries outside of it, and the other options of its views."""

from __future__ import annotations

import pytest
import torch

from flsl_mm.selfsup import FLSLDataPreprocessor
from flsl_mm.selfsup.crops import relative_boxes
from flsl_mm.selfsup.queries import in_teacher_view, select
from tests.builders.toy_flsl import toy_model, toy_views

CROP = dict(teacher_crop=dict(size=48, scale=(0.3, 0.6)))
NO_JITTER = dict(jitter_prob=0, gray_prob=0, blur_prob=(0, 0), solarize_prob=(0, 0))
SMALL = dict(global_crops=dict(size=32), local_crops=dict(size=16))


def coordinates(count: int, side: int = 64) -> torch.Tensor:
    """Images whose red tells the column and whose green tells the row, 0 to 1 over the image."""
    ramp = (torch.arange(side) + 0.5) / side
    return torch.stack([ramp.expand(side, side), ramp.expand(side, side).T, torch.zeros(side, side)])[None].repeat(
        count, 1, 1, 1
    )


def make(images, **options):
    torch.manual_seed(0)
    preprocessor = FLSLDataPreprocessor(mean=[0, 0, 0], std=[1, 1, 1], **SMALL, **options)
    return preprocessor(dict(inputs=255 * images), training=True)['inputs']


def test_boxes_relative_to_others_by_hand():
    boxes, within = torch.tensor([[10, 20, 30, 40]]), torch.tensor([[20, 20, 20, 80]])
    assert relative_boxes(boxes, within).tolist() == [[-0.5, 0.0, 1.5, 0.5]]


def test_boxes_say_where_the_student_views_lie_in_the_teacher_view():
    """Of images whose colors are their coordinates, centers of views lie where their boxes say."""
    inputs = make(coordinates(6), photometric=NO_JITTER, **CROP)
    teacher, *students = inputs['views']
    assert tuple(teacher.shape) == (6, 3, 48, 48)
    middle = teacher.mean((2, 3))[:, :2]
    extent = (teacher[..., -1, -1] - teacher[..., 0, 0])[:, :2] * 48 / 47
    for view, box in zip(students, inputs['boxes'], strict=True):
        place = (view.mean((2, 3))[:, :2] - middle) / extent + 0.5
        torch.testing.assert_close(place, box[:, :2] + box[:, 2:] / 2, atol=0.03, rtol=0)
    assert min(float(box[:, :2].min()) for box in inputs['boxes']) < 0, 'crops leave the teacher view'


def test_a_clean_teacher_sees_the_images_colors():
    images = coordinates(4)
    torch.testing.assert_close(make(images, clean_teacher=True)['views'][0], images)
    assert not torch.allclose(make(images)['views'][0], images, atol=1e-3)


def test_flipped_images_are_mirrored_in_all_views():
    straight, flipped = (make(coordinates(4), photometric=NO_JITTER, flip_prob=p)['views'] for p in (0, 1))
    assert torch.equal(straight[0].flip(-1), flipped[0])
    assert all(float((view[..., -1] - view[..., 0])[:, 0].max()) < 0 for view in flipped), 'red falls to the right'
    some = make(coordinates(64), photometric=NO_JITTER, flip_prob=0.5)['views'][0]
    assert 16 < int((some[:, 0, 0, -1] < 0.5).sum()) < 48


def test_queries_in_the_teacher_view_by_hand():
    places = torch.tensor([[[0.5, 0.5], [-0.1, 0.5], [0.5, 1.1]], [[0.2, 0.9], [0.9, 0.2], [2.0, 2.0]]])
    inside = in_teacher_view(places, places)
    assert inside.tolist() == [[True, False, False], [True, True, False]]
    twice = select(inside, places, 2 * places)
    wanted = torch.cat([places[0, :1], places[1, :2]])[None]
    assert torch.equal(twice[0], wanted)
    assert torch.equal(twice[1], 2 * wanted)
    assert in_teacher_view(places + 5, places).all(), 'means over no query would be no numbers'
    assert in_teacher_view(None, places).all()


def test_the_loss_is_of_the_queries_inside():
    model = toy_model(anchor_width=0.1, views=CROP, assignment='sinkhorn', volume_weight=0.0)
    views = toy_views(model, batch_size=6)
    counts = []
    model.inter_view_loss = lambda logits, targets: counts.append((logits.shape, targets.shape)) or logits.mean()
    model.loss(views)['loss'].backward()
    ((logits, targets),) = counts
    assert logits == targets
    all_queries = 6 * (3 * 3 + 2 * 1)
    assert logits[0] == 1
    assert 0 < logits[1] < all_queries


def test_moving_all_boxes_out_of_the_view_still_gives_a_loss():
    model = toy_model(anchor_width=0.1, views=CROP)
    views = toy_views(model)
    views['boxes'] = [box + 10 for box in views['boxes']]
    assert model.loss(views)['loss'].isfinite()


def test_unanchored_queries_all_count():
    model = toy_model(views=CROP)
    model.inter_view_loss = lambda logits, targets: logits.mean() * 0 + logits[..., 0].numel()
    out = model.loss(toy_views(model, batch_size=2))
    assert float(out['inter']) % 2 == 0


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        (dict(teacher_crop=dict(size=50, scale=(0.2, 0.5))), 'multiple of patch_size'),
        (dict(teacher_crop=dict(size=48, scale=(0.5, 2.0))), 'scale'),
        (dict(flip_prob=2), 'flip_prob'),
    ],
)
def test_impossible_options(options, match):
    with pytest.raises(ValueError, match=match):
        toy_model(views=options)
