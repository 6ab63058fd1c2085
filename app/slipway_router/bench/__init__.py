"""A load generator for any OpenAI-compatible address: what `slipway-router bench` runs."""
