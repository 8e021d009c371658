"""A job's rows classified: cut into shards, each written as a part, and the parts put together."""
