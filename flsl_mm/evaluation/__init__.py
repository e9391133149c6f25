"""Evaluation of frozen patch features: figures as pure functions; imports torch and torchvision. Probes apply them."""
