"""COCO's figures as a table."""

from flsl_mm.engine.coco_table import coco_table

SUFFIXES = ('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l')


def test_boxes_and_masks_have_a_row_each_and_the_rest_is_returned():
    boxes = zip(SUFFIXES, (0.5, 0.75, 0.25, 0.1, -1.0, 0.9), strict=True)
    numbers = {f'coco/bbox_{name}': value for name, value in boxes}
    numbers |= {f'coco/segm_{name}': 0.125 for name in SUFFIXES} | {'uavdt/AP': 0.3}
    table, others = coco_table(numbers)
    assert table.splitlines() == [
        '                  AP       AP50       AP75   AP small  AP medium   AP large',
        'coco/bbox      0.500      0.750      0.250      0.100          -      0.900',
        'coco/segm      0.125      0.125      0.125      0.125      0.125      0.125',
    ]
    assert others == {'uavdt/AP': 0.3}


def test_figures_that_were_not_asked_for_have_no_column():
    table, others = coco_table({'coco/bbox_mAP': 0.5, 'coco/bbox_AR@100': 0.6})
    assert table.splitlines() == ['                  AP', 'coco/bbox      0.500']
    assert others == {'coco/bbox_AR@100': 0.6}
    assert coco_table({'mIoU': 0.5}) == ('', {'mIoU': 0.5})
