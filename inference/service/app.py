"""The service as an application: paths, errors, start and end."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from seqrec.inference.service.answer_schemas import Failure, ModelAnswer, ReloadAnswer, Status
from seqrec.inference.service.api_keys import ApiKeys
from seqrec.inference.service.batcher import Batcher
from seqrec.inference.service.gate import Gate
from seqrec.inference.service.limits import Limits
from seqrec.inference.service.model_slot import Load, ModelSlot
from seqrec.inference.service.openapi_document import describe_requests
from seqrec.inference.service.operations import OPERATIONS, Operation, answer_together, group_of
from seqrec.inference.service.service_errors import STATUSES, ServiceError, service_error_of
from seqrec.inference.service.service_metrics import ServiceMetrics
from seqrec.inference.service.validation import read_request

__all__ = ["Service", "create_app"]

logger = logging.getLogger("seqrec.service")
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
NO_KEYS = (
    "The service runs without API keys, so it takes no such orders. Start it with --api_keys FILE, or send it SIGHUP."
)
POST_ERRORS = (400, 401, 405, 408, 413, 422, 429, 500, 503, 504)


@dataclass(frozen=True)
class Service:
    """The parts of a running service."""

    slot: ModelSlot
    batcher: Batcher
    metrics: ServiceMetrics
    limits: Limits
    keys: ApiKeys | None

    async def answer(self, operation: Operation, http: Request) -> Response:
        """Answer a request of an operation."""
        request = read_request(operation.request, await http.body())
        http.scope["facts"]["histories"] = request.size
        try:
            request.check(self.limits)
            answer = await self.batcher.ask(group_of(operation, request), (operation, request), request.size)
        except Exception as error:
            told = service_error_of(error)
            if told.status == 500:
                logger.error("A request failed.", exc_info=error)
            raise told from None
        return json_response(answer)

    def compute(self, requests: Sequence[tuple[Operation, Any]]) -> list[Any]:
        """Answer requests of one group with the present model."""
        return answer_together(self.slot.model, requests[0][0], [request for _, request in requests])


def create_app(
    folder: str, load: Load, *, limits: Limits | None = None, keys: ApiKeys | None = None, watch_seconds: float = 2.0
) -> FastAPI:
    """Load a model, and create the application that answers with it; its parts are in `app.state.service`.

    Args:
        folder: The model's folder or repository.
        load: Loads it, at the start and whenever it was replaced.
        limits: Limits of requests.
        keys: Keys that requests need; None if they need none.
        watch_seconds: Seconds between two looks at the folder; 0 never looks.

    Raises:
        SeqrecError: If the model cannot be loaded.
    """
    limits, metrics = limits or Limits(), ServiceMetrics()
    slot = ModelSlot(folder, load, lambda result: metrics.reloads.labels(result).inc())
    batcher = Batcher(lambda requests: service.compute(requests), limits, metrics.batch.observe)
    service = Service(slot, batcher, metrics, limits, keys)
    metrics.watch_queue(lambda: service.batcher.num_waiting)
    metrics.watch_model(lambda: slot.model.version)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        watch = asyncio.create_task(slot.watch(watch_seconds)) if watch_seconds else None
        yield
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        await asyncio.to_thread(service.batcher.stop)

    app = FastAPI(
        title="seqrec",
        description="Recommendations by a sequential model. Item ids are the raw ids of the training table.",
        version=version("seqrec"),
        lifespan=lifespan,
        exception_handlers={
            ServiceError: tell_error,
            404: tell_wrong_path,
            405: tell_wrong_path,
            Exception: tell_error,
        },
    )
    app.state.service = service
    add_operations(app, service)
    add_pages(app, service)
    plain_document = app.openapi
    app.openapi = lambda: describe_requests(plain_document(), OPERATIONS, slot.model)
    paths = {route.path for route in app.routes}
    app.add_middleware(Gate, limits=limits, keys=keys, metrics=metrics, paths=paths)
    return app


class PlainRoute(APIRoute):
    """A path whose function reads its request itself, which saves a fifth of the time around an answer."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        """Return the function."""
        return self.endpoint


def add_operations(app: FastAPI, service: Service) -> None:
    """Add a path for each operation."""
    for operation in OPERATIONS:
        app.router.add_api_route(
            operation.path,
            answering(service, operation),
            methods=["POST"],
            name=operation.path[1:],
            summary=operation.summary,
            response_model=operation.answer,
            responses=failures(*POST_ERRORS),
            route_class_override=PlainRoute,
        )


def answering(service: Service, operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    """Return a function that answers requests of an operation."""

    async def answer(http: Request) -> Response:
        return await service.answer(operation, http)

    return answer


def add_pages(app: FastAPI, service: Service) -> None:
    """Add what tells about the service, and the reloading of its model."""

    @app.get("/health", summary="Tell that the process answers.", response_model=Status, responses=failures(405))
    async def health() -> Response:
        return json_response({"status": "ok"})

    @app.get(
        "/ready",
        summary="Tell whether requests are answered.",
        response_model=Status,
        responses=failures(405, 503),
    )
    async def ready() -> Response:
        if not service.batcher.is_alive:
            raise ServiceError(503, "The service is stopping.")
        return json_response({"status": "ready"})

    @app.get(
        "/model",
        summary="Describe the model that answers.",
        response_model=ModelAnswer,
        responses=failures(401, 405),
    )
    async def model() -> Response:
        return json_response({**service.slot.model.description(), "last_reload": service.slot.last_reload})

    @app.get(
        "/metrics",
        summary="Give metrics to Prometheus.",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, **failures(401, 405)},
    )
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type=METRICS_TYPE)

    @app.post(
        "/reload",
        summary="Look for a new model in the folder now. Needs an API key.",
        response_model=ReloadAnswer,
        responses=failures(401, 403, 405, 408, 413, 422),
    )
    async def reload() -> Response:
        if service.keys is None:
            raise ServiceError(403, NO_KEYS)
        changed = await service.slot.reload()
        last = service.slot.last_reload
        if not changed and last is not None and last["result"] == "failed":
            raise ServiceError(422, f"The new model cannot be loaded; the one before stays in use. {last['error']}")
        return json_response({"changed": changed, "model_version": service.slot.model.version})


def failures(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe the errors of a path."""
    return {status: {"model": Failure, "description": STATUSES[status]} for status in statuses}


def json_response(content: Any) -> Response:
    """Return an answer in JSON."""
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), media_type="application/json")


async def tell_error(http: Request, error: Exception) -> JSONResponse:
    """Answer with an error; uvicorn logs where a bug is."""
    return service_error_of(error).response()


async def tell_wrong_path(http: Request, error: Any) -> JSONResponse:
    """Answer requests for a path that does not exist (404), or by another method than it has (405)."""
    methods = {route.path: sorted(route.methods) for route in http.app.routes if isinstance(route, APIRoute)}
    path = http.url.path
    if error.status_code == 405 and path in methods:
        sentence = f"{path} has the method {methods[path][0]}, not {http.method}."
    else:
        sentence = f"There is no such path. The paths are {', '.join(methods)}; /docs describes them."
    return JSONResponse({"error": sentence}, error.status_code, error.headers)
