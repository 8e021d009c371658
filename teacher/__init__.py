"""The teacher: a fine-tuned BERT whose decisions a student learns.

``teacher.bert`` loads one and scores texts, ``teacher.finetune`` makes one from labelled texts,
``teacher.cache`` keeps what it answered. All three import torch and transformers (extra ``teacher``);
this file does not.
"""
