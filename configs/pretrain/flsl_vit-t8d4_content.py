# What a patch shows rather than where it lies: teacher and student see windows of the image that do not depend on each
# other, and what the image or a place says of all patches is no target. Why, and what each part is worth:
# docs/evidence.md. For images of one kind (a street camera) as for mixed ones.
_base_ = 'flsl_vit-t8d4_jitter.py'

model = dict(
    data_preprocessor=dict(
        teacher_crop=dict(size=96, scale=(0.25, 0.6)),
        clean_teacher=True,
        flip_prob=0.5,
        global_crops=dict(scale=(0.3, 0.8)),
        local_crops=dict(scale=(0.08, 0.25)),
        photometric=dict(hue=0.2, saturation=0.4),
    ),
    # No mean shifts: the wide ones of the paper cluster images here, sharp ones end in places (docs/evidence.md).
    self_scale=None,
    cross_scale=None,
    intra_weight=0.0,
    anchor_width=0.08,
    target_centering=dict(image=0.5, cells=6),
    teacher_temp=0.01,
)
train_dataloader = dict(dataset=dict(size=128))
optim_wrapper = dict(cpu_dtype='bfloat16')
