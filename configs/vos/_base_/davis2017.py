# One item is a video: a worker decodes the next one while this one is propagated.
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    prefetch_factor=1,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='DAVISDataset', data_root='data/DAVIS', year=2017, split='val', short_side=480),
)
