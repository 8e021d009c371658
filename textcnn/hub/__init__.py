"""A student on the Hugging Face hub, or in a folder as it lies there: its files, and a model card."""
