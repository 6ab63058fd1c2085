"""What `slipway-router` can be told to do: a command a file, see `slipway_router.__main__`."""
