"""What frozen patch features know, as pure functions; imports torch and torchvision."""
