"""`python -m slipway`: the `slipway` command."""

from slipway.cli import main

main()
