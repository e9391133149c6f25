# Query sampling from larger windows, 4 and 3 tokens a side: a quarter and four ninths of the queries.
_base_ = '../flsl_vit-s16.py'

model = dict(data_preprocessor=dict(global_crops=dict(window=4), local_crops=dict(window=3)))
