"""TensorZero's gateway as its wheel carries it: it takes a free port, which is written to a file.

Runs in TensorZero's environment.

python tensorzero_launch.py CONFIGURATION FILE-FOR-THE-PORT
"""
# pyright: basic, reportMissingImports=false, reportMissingModuleSource=false

import asyncio
import inspect
import sys
from pathlib import Path

import tensorzero


async def main(config: str, told: Path) -> None:
    gateway = tensorzero._start_http_gateway(
        config_file=config, clickhouse_url=None, postgres_url=None, valkey_url=None, async_setup=True
    )
    if inspect.isawaitable(gateway):
        gateway = await gateway
    part = told.with_suffix(".part")
    part.write_text(gateway.base_url.split(":")[2].split("/")[0])
    part.rename(told)
    await asyncio.Event().wait()


asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
