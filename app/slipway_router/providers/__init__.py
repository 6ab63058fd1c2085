"""Vendors' APIs, one file each: how a request is said to them, and how their answer is said in OpenAI's shape."""
