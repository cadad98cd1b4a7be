"""Requests to the judge: which of two tracks is more like a third?"""

import math
from typing import Annotated

from fastapi import HTTPException, Path

from jaxsim.library.search import preferences, presets
from jaxsim.library.service import messages
from jaxsim.library.service.messages import Answer, JudgeAnswer, Preset, Problem, Question
from jaxsim.library.service.shared import Here, Router, Shared

REFUSED: dict[int | str, dict] = {
    status: {"model": Problem} for status in (400, 409, 413, 422, 503)
}
JudgeName = Annotated[str, Path(min_length=1, max_length=100, description="Who judges.")]

router = Router(prefix="/api/judge", tags=["judge"], responses=REFUSED)


@router.get("/{judge}")
def next_question(judge: JudgeName, here: Here) -> JudgeAnswer:
    """The question whose answer would tell most, and the weights fitted to the answers so far."""
    return _state(here, preferences.answers_of(here.library, judge))


@router.post("/{judge}")
def answer_question(judge: JudgeName, answer: Answer, here: Here) -> JudgeAnswer:
    """Saves the answer to the current question, and asks the next one."""
    library = here.library
    with here.judging:
        answers = preferences.answers_of(library, judge)
        question = preferences.next_question(library, answers)
        asked = [library.ids[row] for row in (question.anchor, question.a, question.b)]
        if [answer.anchor, answer.a, answer.b] != asked:
            raise HTTPException(409, "not the current question; it may have been answered already")
        given = preferences.Answer(answer.anchor, answer.a, answer.b, answer.choice)
        preferences.save_answer(library, judge, given)
    return _state(here, [*answers, given])


@router.post("/{judge}/preset")
def save_weights(judge: JudgeName, here: Here) -> Preset:
    """Saves the fitted weights as a preset under the judge's name."""
    fitted = preferences.fit(here.library, preferences.answers_of(here.library, judge))
    if not fitted.answers:
        raise HTTPException(409, f"{judge} has not answered yet, so there are no weights")
    weights, deviations = preferences.preset(fitted, here.library.dimensions)
    presets.save(here.library, judge, weights, deviations=deviations)
    return Preset(weights=weights, deviations=deviations)


def _state(here: Shared, answers: list[preferences.Answer]) -> JudgeAnswer:
    question = preferences.next_question(here.library, answers)
    fitted = preferences.fit(here.library, answers)
    weights, deviations = preferences.preset(fitted, here.library.dimensions)
    rows = [question.anchor, question.a, question.b]
    anchor, a, b = messages.tracks(here.library, rows)
    return JudgeAnswer(
        question=Question(anchor=anchor, a=a, b=b),
        given=len(answers),
        fitted=fitted.answers,
        weights=weights,
        deviations=deviations,
        agreement=None if math.isnan(fitted.agreement) else fitted.agreement,
    )
