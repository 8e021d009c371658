"""Teachers behind an address: chat models of the OpenAI form, classifiers of the Hugging Face form."""
