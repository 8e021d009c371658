"""Models of what the REST API takes and answers, beyond those that the client shares."""
