"""Requests for artists or albums that sound like something."""

from fastapi import APIRouter

from jaxsim.library.search import groups, query
from jaxsim.library.service import messages
from jaxsim.library.service.messages import Group, GroupAnswer, GroupRequest, Hit, Problem
from jaxsim.library.service.shared import Here

router = APIRouter(
    prefix="/api/groups", responses={status: {"model": Problem} for status in (400, 404, 413, 422)}
)


@router.post("", tags=["search"])
def search(request: GroupRequest, here: Here) -> GroupAnswer:
    """Artists or albums by the score of their best track."""
    library, seeds = here.library, here.seeds(request.like)
    weights = messages.weights_of(library, request)
    where = request.where or None
    found = groups.search(
        library,
        lambda top: query.search(library, seeds, weights, top=top, where=where),
        by=request.by,
        top=request.top,
    )
    best = messages.hits(library, [group.best for group in found])
    itself = messages.of_the_query(library, seeds, weights)
    return GroupAnswer(
        groups=[
            Group(name=group.name, tracks=group.tracks, best=Hit(**hit))
            for group, hit in zip(found, best, strict=True)
        ],
        query=library.by_dimension(itself),
    )
