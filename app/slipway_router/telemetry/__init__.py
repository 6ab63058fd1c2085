"""What the router tells of its requests beside metrics: logs and traces."""
