"""The router: one OpenAI-compatible address in front of self-hosted models and vendors' APIs."""
