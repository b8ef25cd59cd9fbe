"""The routes of a service: rows in, rows out. Knows nothing of Ray."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import pyarrow as pa
from fastapi import FastAPI, HTTPException, Request, Response
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.responses import JSONResponse

from actors.errors import GristmillError, StageFailed, UsageError, nearest
from pipelines.plan import Plan
from pipelines.serving.answers import rows_of
from pipelines.serving.bounds import Bounds
from pipelines.serving.gate import problem
from pipelines.serving.intake import REQUEST, Intake
from pipelines.serving.models import REF, Problem, answer_model, request_model


@dataclass(frozen=True)
class Front:
    """What the routes need: the plan, the limits, and who answers tables.

    `ready` says what is not ready yet, or None.
    """

    plan: Plan
    bounds: Bounds
    answer: Callable[[pa.Table], Awaitable[pa.Table]]
    ready: Callable[[], Awaitable[str | None]]


def make_app(front: Front) -> FastAPI:
    """The service of one plan."""
    plan = front.plan
    intake = Intake.of(plan)
    app = FastAPI(title=plan.pipeline.name, version=plan.fingerprint[:8], summary=_summary(plan))
    answers: dict[int | str, dict[str, Any]] = {200: {"model": answer_model(plan)}}
    answers |= {status: {"model": Problem} for status in (400, 401, 413, 422, 503, 504)}
    _add_probes(app, front)
    _add_rows(app, front, intake, answers)
    if intake.takes_files:
        _add_files(app, front, intake, answers)
    _add_errors(app)
    _add_schema(app, request_model(plan, intake).model_json_schema(ref_template=REF))
    return app


def _summary(plan: Plan) -> str:
    return " -> ".join(["rows", *(step.task for step in plan.steps)])


def _add_probes(app: FastAPI, front: Front) -> None:
    @app.get("/health", summary="the service is alive")
    async def health() -> dict[str, str]:
        return {"status": "alive"}

    @app.get("/ready", summary="all models are loaded")
    async def ready() -> Response:
        lacking = await front.ready()
        return problem(503, lacking) if lacking else JSONResponse({"status": "ready"})

    @app.get("/pipeline", summary="stages, models, revisions, fingerprint")
    async def pipeline() -> dict[str, Any]:
        return described(front.plan)


def described(plan: Plan) -> dict[str, Any]:
    """A plan for who uses the service: everything that can change an answer."""
    return {
        "name": plan.pipeline.name,
        "fingerprint": plan.fingerprint,
        "source": plan.pipeline.source.kind,
        "reads": {field.name: str(field.type) for field in Intake.of(plan).columns},
        "columns": plan.description["columns"],
        "stages": [
            {**step, "fingerprint": plan.steps[number].fingerprint}
            for number, step in enumerate(plan.description["steps"])
        ],
    }


def _add_rows(app: FastAPI, front: Front, intake: Intake, answers: Any) -> None:
    body = {"required": True, "content": {"application/json": {"schema": _ref("Rows")}}}

    @app.post(
        "/rows", summary="answer rows", responses=answers, openapi_extra={"requestBody": body}
    )
    async def rows(request: Request) -> Response:
        return await _answered(front, intake.table_of_rows, _rows(await request.body(), front))


def _add_files(app: FastAPI, front: Front, intake: Intake, answers: Any) -> None:
    file = {"type": "string", "format": "binary"}
    schema = {"type": "object", "properties": {"files": {"type": "array", "items": file}}}
    body = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}

    @app.post(
        "/files", summary="answer files", responses=answers, openapi_extra={"requestBody": body}
    )
    async def files(request: Request) -> Response:
        most = front.bounds.max_rows
        async with request.form(max_files=most, max_fields=1) as form:
            found = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            named = [(part.filename or REQUEST, await part.read()) for part in found]
        if not named:
            raise UsageError("the form has no file; as in  curl -F files=@page.png")
        return await _answered(front, intake.table_of_files, named)


async def _answered(front: Front, table_of: Callable[[Any], pa.Table], given: Any) -> Response:
    """From what a request brought to its answer; the parsing is done aside, in a thread."""
    table = await asyncio.to_thread(table_of, given)
    answered = await front.answer(table)
    return Response(await asyncio.to_thread(_json, answered), media_type="application/json")


def _json(table: pa.Table) -> bytes:
    return json.dumps({"rows": rows_of(table)}, ensure_ascii=False, allow_nan=False).encode(
        errors="replace"
    )


def _rows(body: bytes, front: Front) -> list[Any]:
    """The rows of a body. Raises HTTPException (400, 413) and UsageError."""
    try:
        data = json.loads(body.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise HTTPException(400, f"the body is not UTF-8: {error}") from None
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, f"the body is not JSON: {error}") from None
    keys = list(data) if isinstance(data, dict) else []
    if keys != ["rows"]:
        other = next((name for name in keys if name != "rows"), "")
        said = f"; there is {other!r}{nearest(other, ['rows'])}" if other else ""
        raise UsageError('the body is not {"rows": [{COLUMN: VALUE, ...}, ...]}' + said)
    rows: Any = data["rows"]
    if not isinstance(rows, list) or not rows:
        raise UsageError("'rows' is " + ("empty" if rows == [] else "not a list of objects"))
    if len(rows) > front.bounds.max_rows:
        most = front.bounds.max_rows
        raise HTTPException(413, f"the request has {len(rows)} rows, and {most} are the most")
    return rows


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _add_errors(app: FastAPI) -> None:
    """Every error is {"error": a sentence}."""

    @app.exception_handler(StarletteHTTPException)
    async def refused(request: Request, error: StarletteHTTPException) -> Response:
        said = str(error.detail)
        if error.status_code == 404:
            known = [route.path for route in app.routes if hasattr(route, "path")]
            said = f"there is no {request.url.path}{nearest(request.url.path, known)}"
        if error.status_code == 405:
            method = (error.headers or {}).get("Allow", "another method")
            said = f"{request.url.path} takes {method}, not {request.method}; see /docs"
        return problem(error.status_code, said, dict(error.headers or {}))

    @app.exception_handler(UsageError)
    async def malformed(request: Request, error: UsageError) -> Response:
        return problem(422, str(error))

    @app.exception_handler(GristmillError)
    async def failed(request: Request, error: GristmillError) -> Response:
        return problem(500 if isinstance(error, StageFailed) else 503, str(error))

    @app.exception_handler(Exception)
    async def broken(request: Request, error: Exception) -> Response:
        return problem(500, f"the service failed ({type(error).__name__}); its log says more")


def _add_schema(app: FastAPI, rows: dict[str, Any]) -> None:
    """Put the model of the request's rows, which we parse ourselves, into the OpenAPI page."""
    models = {**rows.pop("$defs", {}), "Rows": rows}
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        page = plain()
        page.setdefault("components", {}).setdefault("schemas", {}).update(models)
        return page

    app.openapi = openapi  # type: ignore[method-assign]


def _ref(model: str) -> dict[str, str]:
    return {"$ref": REF.format(model=model)}
