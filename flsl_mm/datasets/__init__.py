"""Images on the disk; imports torch and Pillow, and mmengine where ``images`` and ``sampler`` register themselves."""
