"""What tests of several rooms build: images, trees of data sets, small models, whole runs."""
