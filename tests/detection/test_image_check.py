"""Images that are missing, damaged or of another size are found at the start, or skipped and listed."""

import json

import pytest
from PIL import ExifTags, Image

pytest.importorskip('mmdet')

from flsl_mm.datasets.skipped import read_skipped
from flsl_mm.detection import image_check
from tests.detection.test_annotation_check import dataset, folder, save

assert folder  # the fixture


def damage(folder):
    content = (folder / '2.png').read_bytes()
    (folder / '2.png').write_bytes(content[: len(content) // 2])
    (folder / '3.png').unlink()


def test_in_training_bad_images_are_left_out_and_listed(folder, capsys):
    damage(folder)
    found = dataset(folder)
    assert len(found) == 2
    output = capsys.readouterr().out
    assert '2 of 4 images of' in output
    assert f'{folder / "3.png"} is missing; {folder / "2.png"} cannot be read: ' in output
    found.skipped_log = folder / 'skipped.txt'
    assert list(read_skipped(found.skipped_log)) == [str(folder / '3.png'), str(folder / '2.png')]
    (folder / '4.png').unlink()
    with pytest.raises(ValueError, match=r'3 of 4 images .* cannot be used'):
        dataset(folder)
    (folder / '2.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'3 of 4 images .* are missing, .*2.png for one: set data_prefix'):
        dataset(folder)


def test_images_that_go_bad_later_are_skipped_and_listed(folder, capsys):
    found = dataset(folder)
    found.skipped_log = folder / 'skipped.txt'
    damage(folder)
    Image.new('RGB', (20, 10)).save(folder / '4.png')
    drawn = {found[index]['img_path'] for index in range(4)}
    assert drawn == {str(folder / '1.png')}
    reasons = read_skipped(found.skipped_log)
    assert reasons.pop(str(folder / '2.png')).startswith('cannot be read: ')
    wrong_size = 'is 20x10, and 256x160 in the annotations'
    assert reasons == {str(folder / '3.png'): 'is missing', str(folder / '4.png'): wrong_size}
    assert f'skipped {folder / "3.png"}: it is missing' in capsys.readouterr().out


def test_in_testing_every_image_must_be_usable(folder):
    found = dataset(folder, test_mode=True)
    damage(folder)
    with pytest.raises(FileNotFoundError, match=r'1 of 4 images .* are missing, .*3.png for one: set data_prefix'):
        dataset(folder, test_mode=True)
    with pytest.raises(ValueError, match=r'2.png cannot be read'):
        found[1]


def test_sizes_of_files_and_annotations_are_compared(folder):
    content = json.loads((folder / 'a.json').read_text())
    save(folder, dict(content, images=[dict(image, width=1024, height=640) for image in content['images']]))
    with pytest.raises(ValueError, match=r'4 of 4 images .*1.png is 256x160, and 1024x640 in the annotations'):
        dataset(folder)
    # An image that its camera turned has the size that it is shown with.
    save(folder, content)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for name in ('1.png', '2.png'):
        Image.new('RGB', (256, 160)).save(folder / name, exif=exif)
    with pytest.raises(ValueError, match=r'1.png is 160x256 \(turned by its EXIF orientation\), and 256x160'):
        dataset(folder)


def test_of_large_sets_a_part_is_looked_at(folder, monkeypatch):
    monkeypatch.setattr(image_check, 'MAX_HEADERS', 2)
    images = [dict(img_path=str(folder / f'{number}.png'), width=1, height=1) for number in range(1, 6)]
    found = image_check.find_problems(images)
    assert found.pop(4) == 'is missing'
    assert list(found) == [0, 2]
