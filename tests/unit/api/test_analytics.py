"""What is told of the service's own start estimates."""

from __future__ import annotations

from app.domain.calibration import Announcement, Calibration, learn
from app.domain.priority import Priority
from tests.unit.api.harness import Api, running_api


async def analytics(api: Api) -> dict[str, object]:
    answer = await api.client.get("/api/v1/analytics")
    assert answer.status_code == 200
    found: dict[str, object] = answer.json()["start_estimates"]
    return found


async def test_before_any_start_there_is_nothing_to_tell() -> None:
    async with running_api() as api:
        found = await analytics(api)

    assert (found["scored"], found["inside"], found["pinball_ratio"], found["outcomes"]) == (0, None, None, [])


async def test_outcomes_by_class_and_length_of_the_wait() -> None:
    said = Announcement(Priority.URGENT, 0.0, 700.0, 500.0, 900.0, 300.0)
    calibration = Calibration()
    for actual in (600.0, 650.0, 100.0, 2_000.0):
        calibration = learn(calibration, said, actual)
    calibration = learn(calibration, said.because("reordered"), 1.0)
    async with running_api() as api:
        await api.services.scheduler.keep_calibration(calibration, 1)
        found = await analytics(api)

    assert (found["scored"], found["inside"], found["early"], found["late"]) == (4, 0.5, 0.25, 0.25)
    assert found["outcomes"] == [
        {
            "class": "urgent",
            "predicted_wait": "< 1 h",
            "results": {"early": 1, "inside": 2, "late": 1, "reordered": 1},
        }
    ]
