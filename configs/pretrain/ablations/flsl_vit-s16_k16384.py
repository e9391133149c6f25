# Number of prototypes, 1024 to 16384 in the paper's ablation; 4096 is its choice.
_base_ = '../flsl_vit-s16.py'

model = dict(head=dict(num_prototypes=16384))
