"""Pages that show what a model learned; imports api, evaluation, probes, visualization, vos, datasets and fileio."""
