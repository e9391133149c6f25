# Any folder of images, flat or nested: labels and lists are not read.
train_dataloader = dict(
    batch_size=64,  # a process; 512 in all on the paper's 8 GPUs
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='FLSLSampler'),
    dataset=dict(type='FLSLImages', data_root='data/imagenet/train', size=224, scale=(0.8, 1.0)),
)
