"""The parts of ``teacher.finetune``: rows, the model, its linear head, its training, its probabilities."""
