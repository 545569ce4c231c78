"""The life of a template: created, revised into new versions, archived, brought back; explained and compared.

Versions are written once. Who comes second finds the version taken, looks again, and decides anew: two revisions at
once are two versions, unless one of them said with `If-Match` on what it was decided.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from itertools import chain, islice

from app.domain.builtin_templates import builtin_templates
from app.domain.errors import MOST_ERRORS, AlreadyExists, Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from app.domain.ids import NAME_RULE, is_name_id
from app.domain.layers import Layer, derive, refuse_bad_base
from app.domain.nearest import nearest_name, unknown_name
from app.domain.nodes import Node, functions_of
from app.domain.origins import Origin, template_origins
from app.domain.request_checks import limit_errors
from app.domain.step_catalog import STEP_PARAMETERS
from app.domain.step_checks import template_errors, unknown_steps
from app.domain.template_diff import Difference, differences
from app.domain.templates import Template, TemplateDraft
from app.services import Services

NAMES = 1_000
"""Most ids of templates among which the nearest is looked for."""
PART, PAGE_BYTES = 50, 4 << 20
"""Templates that are read at a time for a page, and bytes after which it ends."""
TRIES = 20
"""How often a revision that lost the race for its version is decided again."""


async def create_template(services: Services, draft: TemplateDraft) -> Template:
    """Store it as version 1. Raises Invalid with paths inside the draft, and AlreadyExists for a taken id."""
    if not is_name_id(draft.id):
        raise Invalid.one("name", NAME_RULE)
    if draft.id in builtin_templates():
        raise AlreadyExists("template", draft.id, "it is built in; choose another name", "built_in")
    template = await _derived(services, draft, 1)
    if not await services.templates.insert(draft, template):
        remedy = f"PUT /api/v1/templates/{draft.id} makes a new version of it, and brings it back when it is archived"
        raise AlreadyExists("template", draft.id, remedy, "template_exists")
    return template


async def revise_template(services: Services, draft: TemplateDraft, expected: int | None = None) -> Template:
    """The next version; the newest itself when it says the same over the same base and is not archived.

    `expected`: the version that it was decided on. A revision that is sent again after its answer was lost finds its
    own version, and is answered with that. Raises NotFound, Conflict for a built-in template, Invalid, and
    PreconditionFailed when the template is at another version.
    """
    if draft.id in builtin_templates():
        remedy = "POST one that inherits from it"
        raise Conflict(f"Template {draft.id} is built in and cannot be changed; {remedy}.", code="built_in")
    for _ in range(TRIES):
        newest = await find_template(services, draft.id)
        template = await _derived(services, draft, newest.version + 1)
        if expected in {None, newest.version, newest.version - 1} and await _is_made(services, newest, draft, template):
            return newest
        if expected not in {None, newest.version}:
            raise PreconditionFailed(f"{newest.version}", f"{expected}")
        if await services.templates.insert(draft, template):
            return template
    raise Conflict(f"Template {draft.id} was revised {TRIES} times while this revision was tried; try again.")


async def _is_made(services: Services, newest: Template, draft: TemplateDraft, template: Template) -> bool:
    """Whether the newest version is already what this draft would make."""
    if newest.archived_at is not None or newest.base_version != template.base_version:
        return False
    layer = await services.templates.layer(newest.id, newest.version)
    return layer is not None and layer.draft == draft


async def archive_template(services: Services, template_id: str, expected: int | None = None) -> Template:
    """The template, archived: no new job and no new template may name it, until a new version brings it back.

    Archiving twice is archiving once. Raises NotFound, Conflict for a built-in one, and PreconditionFailed.
    """
    if template_id in builtin_templates():
        raise Conflict(f"Template {template_id} is built in and cannot be archived.", code="built_in")
    newest = await find_template(services, template_id)
    if expected not in {None, newest.version}:
        raise PreconditionFailed(f"{newest.version}", f"{expected}")
    if newest.archived_at is not None:
        return newest
    now = services.clock.now()
    await services.templates.archive(template_id, newest.version, now)
    return replace(newest, archived_at=now)


async def list_templates(
    services: Services, limit: int, after: str, *, archived: bool, render: Callable[[Template], bytes]
) -> tuple[list[bytes], str | None]:
    """The newest versions of the templates beyond `after`, by id, each as `render` makes it; and the id that more
    follow, or None. A page is shorter than `limit` where its bytes are many, for a template may be large."""
    shown: list[bytes] = []
    place, size = after, 0
    while len(shown) < limit:
        part = min(PART, limit - len(shown))
        found = await services.templates.page(part + 1, place, archived=archived)
        for template in found[:part]:
            shown.append(render(template))
            place, size = template.id, size + len(shown[-1])
            if size > PAGE_BYTES:
                return shown, None if template is found[-1] else place
        if len(found) <= part:
            return shown, None
    return shown, place


async def find_template(services: Services, template_id: str, version: int | None = None) -> Template:
    """The template at that version, else the newest. Raises NotFound with the nearest id."""
    template = await services.templates.get(template_id, version)
    if template is None and version is not None and await services.templates.get(template_id) is not None:
        raise NotFound("template", f"{template_id} version {version}")
    if template is None:
        raise NotFound("template", template_id, nearest_name(template_id, await services.templates.ids(NAMES)))
    return template


async def usable_template(services: Services, template_id: str, path: str, version: int | None = None) -> Template:
    """What new jobs and new templates may name. Raises Invalid at `path` for one that is unknown, with the nearest id,
    or archived."""
    newest = await services.templates.get(template_id) if is_name_id(template_id) else None
    if newest is None:
        message, near = unknown_name("template", template_id, await services.templates.ids(NAMES))
        raise Invalid.one(path, message, code="unknown_template", nearest=near)
    if newest.archived_at is not None:
        message = f"{template_id} is archived; PUT a new version of it to bring it back, or name another"
        raise Invalid.one(path, message, code="template_archived")
    return newest if version in {None, newest.version} else await _at_version(services, newest, version)


async def _at_version(services: Services, newest: Template, version: int | None) -> Template:
    found = await services.templates.get(newest.id, version)
    if found is None:
        message = f"{newest.id} has no version {version}; the newest is {newest.version}"
        raise Invalid.one("base_version", message, code="unknown_template")
    return found


async def _derived(services: Services, draft: TemplateDraft, version: int) -> Template:
    """The template that this draft makes over its base as it is now. Raises Invalid with paths inside the draft."""
    base = None
    if draft.base_template is None and draft.base_version is not None:
        raise Invalid.one("base_version", "is the version of a `base_template`, and there is none; name one")
    if draft.base_template is not None:
        refuse_bad_base(draft.id, [draft.base_template] if draft.base_template == draft.id else [])
        base = await usable_template(services, draft.base_template, "base_template", draft.base_version)
        refuse_bad_base(draft.id, [layer.template for layer in await layers_of(services, base)])
    template = derive(draft, base, STEP_PARAMETERS, version=version, now=services.clock.now())
    known_limits = services.settings.limits.concurrency
    functions = offered_functions(services, await services.nodes.all())
    unknown = unknown_steps(draft.execution_steps or (), functions)
    wrong_steps = (FieldError(f"execution_steps[{n}].step", message, near) for n, message, near in unknown)
    found = chain(limit_errors(draft.limits, known_limits), template_errors(template), wrong_steps)
    if wrong := list(islice(found, MOST_ERRORS)):
        raise Invalid(wrong)
    return template


def offered_functions(services: Services, nodes: Collection[Node]) -> frozenset[str] | None:
    """Steps that packages on the nodes offer; None where a node that is yet to be created may offer others. A worker
    does not know whether one is, and refuses none."""
    grows = any(kind.most > 0 for kind in services.settings.capacity.types.values())
    return functions_of(nodes) if services.knows_limits and not grows else None


async def layers_of(services: Services, template: Template) -> list[Layer]:
    """Its own layer, then its base's, and so on down; shorter where one cannot be read any more."""
    layers: list[Layer] = []
    here: Template | None = template
    while here is not None and (layer := await services.templates.layer(here.id, here.version)) is not None:
        layers.append(layer)
        below = here.base_template
        here = None if below is None else await services.templates.get(below, here.base_version)
    return layers


async def explain_template(
    services: Services, template_id: str, version: int | None
) -> tuple[Template, Sequence[Layer], list[Origin]]:
    """The template with its layers and the origin of each of its values. Raises NotFound."""
    template = await find_template(services, template_id, version)
    layers = await layers_of(services, template)
    return template, layers, template_origins(template, layers, STEP_PARAMETERS)


async def compare_versions(
    services: Services, template_id: str, since: int | None, until: int | None
) -> tuple[Template, Template, list[Difference]]:
    """Both versions and what differs: `until` is the newest by default, `since` the one before it. Raises NotFound."""
    after = await find_template(services, template_id, until)
    before = await find_template(services, template_id, max(1, after.version - 1) if since is None else since)
    return before, after, differences(before, after)
