"""`POST /v1/ensemble`: one conversation to several models at once, and one answer made of theirs."""
