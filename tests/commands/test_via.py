"""Annotations of VIA become COCO's, by hand numbers."""

import copy
import math

import pytest
from PIL import Image

from flsl_mm.commands.via import (
    coco_of_via,
    find_attribute,
    find_classes,
    image_size,
    outline,
    polygon_area,
    via_images,
    via_table,
)

RECT = dict(name='rect', x=4, y=5, width=10, height=20)
TRIANGLE = dict(name='polygon', all_points_x=[0, 10, 0], all_points_y=[0, 0, 8])


def region(shape=RECT, **attributes):
    return dict(shape_attributes=shape, region_attributes=attributes)


def entry(name, *regions):
    return dict(filename=name, size=123, regions=list(regions), file_attributes={})


def exported():
    return {'b.jpg123': entry('b.jpg', region(type='cat')), 'a.jpg123': entry('a.jpg', region(TRIANGLE, type='dog'))}


def test_every_kind_of_file_holds_the_same():
    """A saved project, exported annotations, and those of VIA 1, whose regions are numbered."""
    expected = [dict(filename=e['filename'], regions=e['regions']) for e in sorted(exported().values(), key=str)]
    old = {
        key: dict(value, regions={str(i): r for i, r in enumerate(value['regions'])})
        for key, value in exported().items()
    }
    for content in (exported(), old, dict(_via_settings={}, _via_img_metadata=exported(), _via_attributes={})):
        assert via_images(content) == sorted(expected, key=lambda image: image['filename'])


BOX = '"{""name"":""rect"",""x"":4,""y"":5,""width"":10,""height"":20}"'
CSV = f"""filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes
b.jpg,123,"{{}}",2,0,{BOX},"{{""type"":""cat""}}"
b.jpg,123,"{{}}",2,1,{BOX},"{{""type"":""dog""}}"
a.jpg,123,"{{}}",0,0,"{{}}","{{}}"
"""


@pytest.mark.parametrize('text', [CSV, '#' + CSV])
def test_exported_as_csv(text):
    """Of VIA 2 and, with a # before it, of VIA 1."""
    two = [region(type='cat'), region(type='dog')]
    assert via_images(via_table(text)) == [dict(filename='a.jpg', regions=[]), dict(filename='b.jpg', regions=two)]
    with pytest.raises(ValueError, match='it has no column region_attributes, region_shape_attributes'):
        via_table('filename,x\na.jpg,3\n')
    with pytest.raises(ValueError, match='row 3 has no JSON in region_shape_attributes'):
        via_table(CSV.replace(f'1,{BOX}', '1,"x,y"'))


def test_by_hand():
    images = via_images(exported())
    assert find_attribute(images) == 'type'
    assert find_classes(images, 'type') == ['cat', 'dog']
    coco = coco_of_via(images, [(40, 60), (20, 12)], ['cat', 'dog'], 'type')
    assert coco['images'] == [
        dict(id=1, file_name='a.jpg', height=40, width=60),
        dict(id=2, file_name='b.jpg', height=20, width=12),
    ]
    dog = dict(id=1, image_id=1, category_id=2, bbox=[0, 0, 10, 8], area=40, segmentation=[[0, 0, 10, 0, 0, 8]])
    # The box of the cat is cut at the image of 12x20, its outline later, when it is drawn.
    cat = dict(id=2, image_id=2, category_id=1, bbox=[4, 5, 8, 15], area=200)
    cat['segmentation'] = [[4, 5, 14, 5, 14, 25, 4, 25]]
    assert coco['annotations'] == [dict(dog, iscrowd=0), dict(cat, iscrowd=0)]
    assert coco['categories'] == [dict(id=1, name='cat'), dict(id=2, name='dog')]


def test_one_class_for_all_regions():
    images = [dict(filename='a.jpg', regions=[region(), region(TRIANGLE, color='red')])]
    coco = coco_of_via(images, [(40, 60)], ['balloon'], None)
    assert [annotation['category_id'] for annotation in coco['annotations']] == [1, 1]


@pytest.mark.parametrize(
    ('value', 'name'), [('cat', 'cat'), (' cat ', 'cat'), (3, '3'), (dict(cat=True, dog=False), 'cat')]
)
def test_what_a_class_may_be(value, name):
    images = [dict(filename='a.jpg', regions=[region(kind=value, note='')])]
    assert find_attribute(images) == 'kind'
    assert find_classes(images, 'kind') == [name]


def test_curves():
    circle = outline(dict(name='circle', cx=50, cy=40, r=10))
    assert {round(math.dist(point, (50, 40)), 9) for point in circle} == {10}
    # A regular polygon of n corners covers n/2 sin(2 pi/n) r^2.
    assert polygon_area(circle) == pytest.approx(18 * math.sin(math.pi / 18) * 100)
    level = outline(dict(name='ellipse', cx=50, cy=40, rx=20, ry=10))
    turned = outline(dict(name='ellipse', cx=50, cy=40, rx=20, ry=10, theta=math.pi / 2))
    assert (max(x for x, _ in level), max(y for _, y in level)) == pytest.approx((70, 50))
    assert (max(x for x, _ in turned), max(y for _, y in turned)) == pytest.approx((60, 60))
    assert polygon_area(turned) == pytest.approx(polygon_area(level)) == pytest.approx(2 * polygon_area(circle))
    assert outline(dict(TRIANGLE, name='polyline')) == outline(TRIANGLE)  # is closed


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        (dict(TRIANGLE, all_points_x=[1, 2, 1], all_points_y=[1, 2, 1]), 'is a polygon of 2 points, which needs three'),
        (dict(TRIANGLE, all_points_x=[1]), 'is a polygon without as many x as y'),
        (dict(TRIANGLE, all_points_x=[0, 1, 2], all_points_y=[0, 1, 2]), 'is a polygon of no area'),
        (dict(RECT, width=0), 'is a rect of no area'),
        (dict(RECT, x=None), 'has None where a number of pixels is needed'),
        (dict(RECT, x=10**400), 'has 10+ where a number of pixels is needed'),
        (dict(name='circle', cx=5, cy=5, r=1e300), r'has 1e\+300 where a number of pixels is needed'),
        (dict(name='circle', cx=5, cy=5, r=-10), 'is a circle with a radius below 0'),
        (dict(RECT, x=float('nan')), 'has nan where a number'),
        (dict(RECT, x=90), 'lies outside of its image of 60x40'),
        (dict(RECT, width=1e8), 'reaches far outside of its image of 60x40: is it the image'),
        (dict(RECT, y=-41), 'reaches far outside'),
        (dict(name='point', cx=1, cy=1), "is a 'point', which encloses nothing"),
        (dict(name='star'), "is a 'star', which VIA has not"),
        ({}, 'is a None'),
    ],
)
def test_a_region_that_is_wrong_is_named(shape, message):
    images = [dict(filename='a.jpg', regions=[region(), region(shape)])]
    with pytest.raises(ValueError, match=f'^region 2 of a.jpg {message}'):
        coco_of_via(images, [(40, 60)], ['x'], None)


@pytest.mark.parametrize(
    ('attributes', 'message'),
    [
        ([{}], 'no region has an attribute with its class: .* --class-name'),
        ([dict(type='')], 'no region has an attribute'),
        ([dict(type={})], 'no region has an attribute'),
        ([dict(type='a', note='b'), dict(type='b')], r"several attributes, 'type' \(of 2 .*, 'note' \(of 1 .* --attr"),
        ([dict(type='a'), {}], "region 2 of a.jpg has no value of the attribute 'type'; its attributes are none"),
        ([dict(type='a'), dict(type='', x='')], "region 2 .* of the attribute 'type'; its attributes are 'type', 'x'"),
        ([dict(type=dict(a=True, b=True))], "region 1 of a.jpg has several classes checked as 'type': a, b"),
    ],
)
def test_a_class_that_is_missing(attributes, message):
    images = [dict(filename='a.jpg', regions=[region(**each) for each in attributes])]
    with pytest.raises(ValueError, match=message):
        find_classes(images, find_attribute(images))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ([], 'it holds a list, not what VIA writes: give the project'),
        ({}, 'it has no images'),
        (dict(images=[], annotations=[], categories=[]), 'it is COCO already'),
        (dict(project={}, metadata={}, file={}), 'it is of VIA 3, which is not read: export it as COCO'),
        ({'a': 3}, "'a' has no filename with regions"),
        ({'a': dict(filename=3, regions=[])}, "'a' has no filename with regions"),
        (dict(a=entry('a.jpg'), b=entry('a.jpg')), 'the image a.jpg is there 2 times'),
    ],
)
def test_what_is_no_file_of_via(content, message):
    with pytest.raises(ValueError, match=message):
        via_images(content)


def test_any_damage_gives_a_value_error():
    def places(node):
        for key in list(node if isinstance(node, dict) else range(len(node))):
            yield node, key
            if isinstance(node[key], (dict, list)):
                yield from places(node[key])

    tried = 0
    for place in range(len(list(places(exported())))):
        for value in (None, 3, 'text', [], {}, [None], dict(a=None)):
            content = copy.deepcopy(exported())
            node, key = list(places(content))[place]
            node[key] = value
            try:
                images = via_images(content)
                classes = find_classes(images, find_attribute(images))
                coco_of_via(images, [(40, 60)] * len(images), classes, 'type')
            except ValueError:
                tried += 1
    assert tried > 100


def test_size_of_an_image(tmp_path):
    """As it is shown and loaded: cameras store upright images turned."""
    turned = Image.Exif()
    for orientation, size in ((1, (20, 30)), (6, (30, 20)), (9, (20, 30))):  # 9 means nothing
        turned[0x0112] = orientation
        Image.new('RGB', (30, 20)).save(tmp_path / 'a.jpg', exif=turned)
        assert image_size(tmp_path / 'a.jpg') == size
    (tmp_path / 'none.jpg').write_text('none')
    with pytest.raises(ValueError, match=r'none\.jpg cannot be read: no image of a kind that is read'):
        image_size(tmp_path / 'none.jpg')
    with pytest.raises(FileNotFoundError, match=r'no image .*gone\.jpg: name the folder'):
        image_size(tmp_path / 'gone.jpg')
