"""The operator's side: an API on a port of its own, with a key of its own."""
