"""The recipe for a folder of images: which row, and what image size and device change."""

import pytest

from flsl_mm.commands.auto_recipe import CONTENT, PAPER, ROWS, TrainingSetup, choose_recipe, inspect_folder
from tests.builders.images import make_image

GPU = dict(gpu_memory=80, short_side=400, cores=16)


@pytest.mark.parametrize(
    ('images', 'config', 'steps', 'batch'),
    [
        (300, CONTENT, 900, 16),
        (2_000, CONTENT, 3_750, 16),
        (20_000, CONTENT, 8_660, 16),
        (200_000, PAPER, 78_000, 256),
        (1_281_167, PAPER, 750_000, 512),
    ],
)
def test_rows_of_the_table(images, config, steps, batch):
    """The table of docs/recipes.md, on one GPU: its steps within the rounding to whole epochs."""
    assert [row.most_images for row in ROWS] == sorted(row.most_images for row in ROWS)
    recipe = choose_recipe(TrainingSetup(images, **GPU))
    assert recipe.config == config
    accumulated = recipe.options.get('optim_wrapper.accumulative_counts', 1)
    assert recipe.options['train_dataloader.batch_size'] * accumulated == batch
    assert recipe.options['train_cfg.max_epochs'] * images / batch == pytest.approx(steps, rel=0.07)


def test_the_paper_keeps_its_numbers():
    recipe = choose_recipe(TrainingSetup(1_281_167, short_side=375, gpu_memory=32, processes=8, cores=10))
    assert recipe.options == {
        'train_dataloader.batch_size': 64,
        'train_dataloader.num_workers': 8,
        'train_cfg.max_epochs': 300,
    }


def test_without_a_gpu_many_images_get_the_small_model():
    recipe = choose_recipe(TrainingSetup(200_000, short_side=400))
    assert recipe.config == CONTENT
    assert recipe.options['train_cfg.max_epochs'] == 1
    assert 'without a GPU takes years' in recipe.reasons[0]
    assert recipe.reasons[-1] == '1 epoch: about 2.6 hours of one CPU core'
    fast = choose_recipe(TrainingSetup(200_000, short_side=400, bfloat16=True))
    assert fast.reasons[-1] == '1 epoch: about 53 minutes of one CPU core'
    few = choose_recipe(TrainingSetup(367, short_side=720))
    assert few.options['default_hooks.checkpoint.interval'] == 4
    assert few.reasons[-1] == '39 epochs: about 11 minutes of one CPU core'


@pytest.mark.parametrize(
    ('images', 'side', 'sizes'),
    [
        (20_000, 64, None),
        (300, 28, (48, 24)),
        (20_000, 48, (48, 24)),
        (200_000, 224, None),
        (200_000, 200, (192, 80)),
        (200_000, 100, (96, 40)),
    ],
)
def test_views_are_no_larger_than_the_images(images, side, sizes):
    """But large enough for windows of 2 tokens, and 3 tokens a side of the smallest view."""
    options = choose_recipe(TrainingSetup(images, **(GPU | dict(short_side=side)))).options
    views = [options.get(f'model.data_preprocessor.{kind}_crops.size') for kind in ('global', 'local')]
    assert views == ([None, None] if sizes is None else list(sizes))
    assert options.get('train_dataloader.dataset.size') == views[0]
    assert options.get('model.data_preprocessor.teacher_crop.size') == (views[0] if images < 200_000 else None)
    patch_size = options.get('model.backbone.patch_size', 16 if images == 200_000 else 8)
    assert sizes is None or (sizes[0] % (2 * patch_size) == 0 and sizes[1] % patch_size == 0)


def test_small_memory_accumulates():
    options = choose_recipe(TrainingSetup(200_000, short_side=400, gpu_memory=11)).options
    assert options['train_dataloader.batch_size'] == 16
    assert options['optim_wrapper.accumulative_counts'] == 16


def test_survey(tmp_path):
    for index, size in enumerate([(40, 30), (80, 50), (60, 90)]):
        make_image(seed=index).resize(size).save(tmp_path / f'{index}.png')
    (tmp_path / 'no_image.png').write_text('x')
    found = inspect_folder(tmp_path)
    assert (found.images, found.short_side, found.processes) == (4, 50, 1)
    with pytest.raises(ValueError, match='7 images are too few'):
        choose_recipe(TrainingSetup(7, short_side=100))
    with pytest.raises(FileNotFoundError, match=r'no image folder at .*none: give --auto a folder'):
        inspect_folder(tmp_path / 'none')
