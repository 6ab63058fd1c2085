"""`POST /v1/messages`: Anthropic's Messages API for its clients, over whatever backend there is."""
