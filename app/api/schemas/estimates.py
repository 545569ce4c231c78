"""How good the service's own start estimates are."""

from pydantic import Field

from app.api.schemas.base import Outgoing


class EstimateOutcome(Outgoing):
    """Outcomes of first start estimates, of one class and one order of predicted waits."""

    class_: str = Field(alias="class", description="The priority that was asked for.")
    predicted_wait: str = Field(description="`< 10 min`, `< 1 h`, `< 6 h` or `>= 6 h`.")
    results: dict[str, int] = Field(
        description="`inside`, `early` and `late` count those that could be known; `cancelled`, `reordered`, "
        "`reprioritised` and `capacity_changed` those that something overtook."
    )


class StartEstimates(Outgoing):
    """How good the service's own start estimates are. Each job's first one is frozen when it is submitted, and scored
    when the job starts."""

    scored: int = Field(description="Jobs whose first estimate was scored.")
    inside: float | None = Field(description="Share of them that started inside the announced window; aimed at 0.8.")
    early: float | None
    late: float | None
    pinball_ratio: float | None = Field(
        description="Loss of the announced quantiles over that of a naive forecast, the class's mean wait; below 1 is "
        "better."
    )
    outcomes: list[EstimateOutcome]
