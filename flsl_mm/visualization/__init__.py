"""Pictures of patch features; imports NumPy, Pillow and matplotlib's colours."""
