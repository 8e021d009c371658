"""From a definition to whoever answers in a BERT's place: answers on file, an endpoint, a function."""
