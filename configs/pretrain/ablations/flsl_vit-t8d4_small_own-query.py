# The paper's target in the recipe for few images: the teacher's mean shift starts from the student's query.
_base_ = '../flsl_vit-t8d4_small.py'

model = dict(anchor_width=None)
