"""What the service's processes tell of their work: lines of a log, and traces."""
