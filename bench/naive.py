"""A proxy as one writes it by hand: FastAPI and httpx, twenty lines. What the router is measured against.

Run by `bench.router`: `uvicorn bench.naive:app`, with the backend's address in UPSTREAM.
"""

import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

app = FastAPI()
client = httpx.AsyncClient(base_url=os.environ.get("UPSTREAM", "http://127.0.0.1:8000"), timeout=60)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Response:
    body: Any = await request.json()
    if body.get("stream"):

        async def chunks() -> AsyncIterator[bytes]:
            async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
                async for chunk in answer.aiter_raw():
                    yield chunk

        return StreamingResponse(chunks(), media_type="text/event-stream")
    answer = await client.post("/v1/chat/completions", json=body)
    return JSONResponse(answer.json(), status_code=answer.status_code)
