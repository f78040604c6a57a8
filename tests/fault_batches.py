"""The fault server's files and batches: each batch takes a while, answers in another order, and fails on purpose."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]
ENDED = {"completed", "failed", "expired", "cancelled"}
#: Lines that no answer can be read from, each of another kind.
BROKEN = (
    b"\n", b"not JSON\n", b'{"custom_id": "0-0-0-1", "response": {"status_code": 200, "body"\n', b"[1, 2]\n", b"null\n",
    b'{"custom_id": 7}\n', b'{"custom_id": "of-nobody", "response": null}\n', b"\xff\xfe\n", b"[" * 9_999 + b"\n",
)  # fmt: skip


@dataclass
class BatchFaults:
    """What goes wrong. `ends`: how the first batches end, one after another; each later one is completed.

    Of an expired or cancelled batch every second request was answered. `missing`, `refused`, `twice`: every so-manyth
    line is left out of the output, is an error of its own, or stands there twice. `malformed`: so many broken lines,
    each of another kind, stand before the others.
    """

    takes_s: float = 0.0
    ends: list[str] = field(default_factory=list)
    missing: int = 0
    refused: int = 0
    twice: int = 0
    malformed: int = 0
    cut_downloads: int = 0  # of so many the connection is dropped in the middle
    gone_files: bool = False  # what the answers are in isn't kept any more
    queue: int = 0  # so many requests may wait at once: a batch that is one too many fails
    cancel_takes_s: float = 0.0
    drop_creates: int = 0  # so many are created, and the connection is dropped before the answer
    refuse_creates: int = 0  # so many are answered 429, and nothing is created
    hold_create_s: float = 0.0  # created, and answered later
    refuse_schema: bool = False
    no_listing: bool = False
    unauthorized: bool = False
    failing_looks: int = 0  # so many are answered 503
    repeats_key: bool = False  # why a batch failed is told with the key that it was sent
    locked: str = ""  # the batch of this id may not be looked at: the key was taken away meanwhile


class Batches:
    """Files and batches by id. `created` counts what was really begun."""

    def __init__(self, answer: Answer) -> None:
        self.faults = BatchFaults()
        self.files: dict[str, bytes] = {}
        self.by_id: dict[str, dict[str, Any]] = {}
        self.cancelled: list[str] = []
        self.asked = 0  # how often one was looked at
        self.headers: list[Mapping[str, str]] = []
        self._answer = answer

    @property
    def created(self) -> int:
        return len(self.by_id)

    def add_to(self, application: web.Application) -> None:
        router = application.router
        router.add_post("/v1/files", self.upload)
        router.add_get("/v1/files/{id}/content", self.content)
        router.add_post("/v1/batches", self.create)
        router.add_get("/v1/batches", self.listed)
        router.add_get("/v1/batches/{id}", self.get)
        router.add_post("/v1/batches/{id}/cancel", self.cancel)

    async def upload(self, request: web.Request) -> web.Response:
        self.headers.append(dict(request.headers))
        if self.faults.unauthorized:
            return web.json_response({"error": {"message": "wrong key"}}, status=401)
        form = await request.post()
        assert form["purpose"] == "batch"
        file = form["file"]
        assert isinstance(file, web.FileField)
        id_ = f"file-{len(self.files)}"
        self.files[id_] = file.file.read()
        return web.json_response({"id": id_, "object": "file", "purpose": "batch"})

    async def content(self, request: web.Request) -> web.StreamResponse:
        if self.faults.gone_files:
            return web.json_response({"error": {"message": "No such File object"}}, status=404)
        body = self.files[request.match_info["id"]]
        if self.faults.cut_downloads == 0:
            return web.Response(body=body)
        self.faults.cut_downloads -= 1
        response = web.StreamResponse(headers={"Content-Length": str(len(body))})
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        assert request.transport is not None
        request.transport.abort()
        return response

    async def create(self, request: web.Request) -> web.Response:
        body = await request.json()
        if self.faults.refuse_creates > 0:
            self.faults.refuse_creates -= 1
            return web.json_response({"error": {"message": "slow down"}}, status=429, headers={"Retry-After": "0"})
        assert body["endpoint"] == "/v1/chat/completions" and body["completion_window"] == "24h"
        lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
        assert len({line["body"]["model"] for line in lines}) == 1  # as OpenAI asks
        id_ = f"batch_{len(self.by_id)}"
        self.by_id[id_] = {
            "id": id_,
            "object": "batch",
            "status": "in_progress",
            "metadata": {**body["metadata"], "server": "adds its own"},
            "created_at": int(time.time()),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "lines": lines,
            "key": request.headers["Authorization"],
            "bytes": len(self.files[body["input_file_id"]]),
            "begun": time.monotonic(),
            "end": self.faults.ends.pop(0) if self.faults.ends else "completed",
        }
        if self.faults.queue and self._queued() > self.faults.queue:
            self._end(self.by_id[id_], "failed", "token_limit_exceeded", "too many tokens are waiting")
        if self.faults.drop_creates > 0:
            self.faults.drop_creates -= 1
            assert request.transport is not None
            request.transport.abort()
        await asyncio.sleep(self.faults.hold_create_s)
        return web.json_response(self._told(id_))

    async def listed(self, request: web.Request) -> web.Response:
        if self.faults.no_listing:
            return web.json_response({"error": {"message": "no such thing here"}}, status=404)
        newest = list(reversed(self.by_id))
        after = request.query.get("after")
        start = newest.index(after) + 1 if after else 0
        page = newest[start : start + 2]  # small pages: the client has to turn them
        more = start + 2 < len(newest)
        return web.json_response({"object": "list", "data": [self._told(id_) for id_ in page], "has_more": more})

    async def get(self, request: web.Request) -> web.Response:
        self.asked += 1
        if self.faults.failing_looks > 0:
            self.faults.failing_looks -= 1
            return web.json_response({"error": {"message": "under repair"}}, status=503)
        if request.match_info["id"] == self.faults.locked:
            return web.json_response({"error": {"message": "this key was taken away"}}, status=401)
        return web.json_response(self._told(request.match_info["id"]))

    async def cancel(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        self.cancelled.append(id_)
        if self.by_id[id_]["status"] not in ENDED:
            self.by_id[id_] |= {"status": "cancelling", "end": "cancelled", "begun": time.monotonic()}
        return web.json_response(self._told(id_))

    def _queued(self) -> int:
        return sum(len(one["lines"]) for id_, one in self.by_id.items() if self._told(id_)["status"] not in ENDED)

    def _told(self, id_: str) -> dict[str, Any]:
        batch = self.by_id[id_]
        takes_s = self.faults.cancel_takes_s if batch["status"] == "cancelling" else self.faults.takes_s
        passed_s = time.monotonic() - batch["begun"]
        if batch["status"] == "in_progress" and passed_s < takes_s:
            batch["request_counts"]["completed"] = int(len(batch["lines"]) * passed_s / takes_s)
        if batch["status"] not in ENDED and passed_s >= takes_s:
            self._end(batch, batch["end"])
        return {key: value for key, value in batch.items() if key not in {"lines", "key", "bytes", "begun", "end"}}

    def _end(
        self, batch: dict[str, Any], how: str, code: str = "model_not_found", message: str = "no batches of this model"
    ) -> None:
        batch["status"] = how
        if how == "failed":
            if self.faults.repeats_key:
                message = f"{batch['key']} may not: {message}"
            batch["errors"] = {"data": [{"code": code, "message": message, "line": None, "param": None}]}
            batch["request_counts"] = {"total": 0, "completed": 0, "failed": 0}
            return
        output: list[dict[str, Any]] = []
        errors: list[dict[str, Any]] = []
        lines = batch["lines"]
        for at, line in enumerate(reversed(lines)):
            name = {"id": f"req-{at}", "custom_id": line["custom_id"]}
            if how != "completed" and at % 2:
                errors.append({**name, "response": None, "error": {"code": f"batch_{how}", "message": f"was {how}"}})
            elif self.faults.refused and at % self.faults.refused == 0:
                said = {"status_code": 400, "body": {"error": {"message": "this row is too long"}}}
                errors.append({**name, "response": said, "error": None})
            elif self.faults.refuse_schema and "response_format" in line["body"]:
                words = "response_format of type json_schema is not supported"
                said = {"status_code": 400, "body": {"error": {"message": words}}}
                errors.append({**name, "response": said, "error": None})
            else:
                said = {"status_code": 200, "body": self._answer(line["body"])}
                answered = {**name, "response": said, "error": None}
                if not (self.faults.missing and at % self.faults.missing == 0):
                    output.append(answered)
                if self.faults.twice and at % self.faults.twice == 0:
                    output.append({**answered, "response": {"status_code": 500, "body": {}}})
        completed = len({one["custom_id"] for one in output})
        batch["request_counts"] = {"total": len(lines), "completed": completed, "failed": len(errors)}
        for key, rows in (("output_file_id", output), ("error_file_id", errors)):
            if rows:
                batch[key] = f"{batch['id']}-{key}"
                broken = BROKEN[: self.faults.malformed] if key == "output_file_id" else ()
                self.files[batch[key]] = b"".join([*broken, *(json.dumps(row).encode() + b"\n" for row in rows)])
