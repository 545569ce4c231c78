"""Data sets."""

from typing import Annotated

from fastapi import Path, Response

from app.api.answers import as_json, json_response, send
from app.api.catalog import delete_dataset as delete
from app.api.catalog import get_dataset as find_dataset
from app.api.catalog import register_dataset as register
from app.api.definition_views import built_in_dataset_view, dataset_view, registered_view
from app.api.deps import Key, Ports
from app.api.problems import problems
from app.api.routing import PREFIX, api_router
from app.api.schemas.definitions import Dataset, DatasetCreate, DatasetList, DatasetRegistered
from app.domain.datasets import BUILT_IN
from app.domain.records import Dataset as DomainDataset
from app.operations.once import Answer, answer_once

router = api_router(f"{PREFIX}/datasets", "datasets")
DatasetName = Annotated[str, Path(description="Name of a data set.")]


@router.get("", responses=problems(), response_model=DatasetList)
async def list_datasets(services: Ports) -> Response:
    """Data sets that jobs may name: the built-in, then the registered. Files below the data root need no entry."""
    registered = [dataset_view(d) for d in await services.datasets.all()]
    return json_response({"datasets": [*map(built_in_dataset_view, BUILT_IN.values()), *registered]})


@router.post("", status_code=201, responses=problems(409, body=True), response_model=DatasetRegistered)
async def create_dataset(body: DatasetCreate, services: Ports, key: Key) -> Response:
    """Give a name to a CSV or Parquet file below the data root.

    The nodes read it, so it need not be where the service runs, nor be there yet; `message` says when it is not.
    """
    dataset = DomainDataset(body.name, body.path, body.description, body.target_column)

    async def do() -> Answer:
        return Answer(201, as_json(registered_view(await register(services, dataset))))

    return send(await answer_once(services, key, do))


@router.get("/{name}", responses=problems(404), response_model=Dataset)
async def get_dataset(services: Ports, name: DatasetName) -> Response:
    """A data set by its name."""
    if name in BUILT_IN:
        return json_response(built_in_dataset_view(BUILT_IN[name]))
    return json_response(dataset_view(await find_dataset(services, name)))


@router.delete("/{name}", status_code=204, responses=problems(404, 409))
async def delete_dataset(services: Ports, name: DatasetName) -> Response:
    """Forget a registered name. The file stays."""
    await delete(services, name)
    return Response(status_code=204)
