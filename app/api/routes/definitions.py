"""Templates and data sets."""

from typing import Annotated

from fastapi import Path, Query, Response

from app.api.answers import as_json, json_response, send
from app.api.catalog import create_template as create
from app.api.catalog import delete_dataset as delete
from app.api.catalog import get_dataset as find_dataset
from app.api.catalog import get_template as find_template
from app.api.catalog import register_dataset as register
from app.api.definition_views import built_in_dataset_view, dataset_view, template_view
from app.api.deps import Key, Ports, TemplateId
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.definitions import Dataset, DatasetCreate, DatasetList, Template, TemplateCreate, TemplateList
from app.domain.datasets import BUILT_IN
from app.domain.records import Dataset as DomainDataset
from app.operations.once import Answer, answer_once

templates_router = api_router(f"{PREFIX}/templates", "templates")
datasets_router = api_router(f"{PREFIX}/datasets", "datasets")
DatasetName = Annotated[str, Path(description="Name of a data set.")]


@templates_router.get("", responses=problems(), response_model=TemplateList)
async def list_templates(services: Ports) -> Response:
    """The newest version of every template, built-in ones included."""
    return json_response({"templates": [template_view(t) for t in await services.templates.all()]})


@templates_router.post("", status_code=201, responses=problems(409, body=True), response_model=Template)
async def create_template(body: TemplateCreate, services: Ports, key: Key) -> Response:
    """Define a template: whole, or inheriting from `base_template`, or inside `job_template`."""
    draft = body.to_draft()

    async def do() -> Answer:
        return Answer(201, as_json(template_view(await create(services, draft))))

    return send(await answer_once(services, key, do))


@templates_router.get("/{template_id}", responses=problems(404), response_model=Template)
async def get_template(
    services: Ports,
    template_id: TemplateId,
    version: Annotated[int | None, Query(ge=1, le=2**31, description="A version; the newest by default.")] = None,
) -> Response:
    """A template with all layers merged, at one version. The ETag is its version."""
    template = await find_template(services, template_id, version)
    return json_response(template_view(template), headers={"ETag": f'"{template.version}"'})


@datasets_router.get("", responses=problems(), response_model=DatasetList)
async def list_datasets(services: Ports) -> Response:
    """Data sets that jobs may name: the built-in, then the registered. Files below the data root need no entry."""
    registered = [dataset_view(d) for d in await services.datasets.all()]
    return json_response({"datasets": [*map(built_in_dataset_view, BUILT_IN.values()), *registered]})


@datasets_router.post("", status_code=201, responses=problems(409, body=True), response_model=Dataset)
async def create_dataset(body: DatasetCreate, services: Ports, key: Key) -> Response:
    """Give a name to a CSV or Parquet file below the data root."""
    dataset = DomainDataset(body.name, body.path, body.description, body.target_column)

    async def do() -> Answer:
        return Answer(201, as_json(dataset_view(await register(services, dataset))))

    return send(await answer_once(services, key, do))


@datasets_router.get("/{name}", responses=problems(404), response_model=Dataset)
async def get_dataset(services: Ports, name: DatasetName) -> Response:
    """A data set by its name."""
    if name in BUILT_IN:
        return json_response(built_in_dataset_view(BUILT_IN[name]))
    return json_response(dataset_view(await find_dataset(services, name)))


@datasets_router.delete("/{name}", status_code=204, responses=problems(404, 409))
async def delete_dataset(services: Ports, name: DatasetName) -> Response:
    """Forget a registered name. The file stays."""
    await delete(services, name)
    return Response(status_code=204)
