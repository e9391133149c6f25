"""Visualization of patch features; imports torch, torchvision, Pillow and matplotlib's colors."""
