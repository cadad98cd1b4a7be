"""Requests for words that can be asked for."""

from fastapi import APIRouter, Query

from jaxsim.library.search import words
from jaxsim.library.service.messages import Problem, Word, WordsAnswer
from jaxsim.library.service.shared import Here, Router

router: APIRouter = Router(
    prefix="/api/words", tags=["search"], responses={422: {"model": Problem}}
)


@router.get("")
def find_words(
    here: Here,
    text: str = Query("", max_length=200, description="Part of a word, or dimension:part."),
    limit: int = Query(12, ge=1, le=1000),
) -> WordsAnswer:
    """Words about the sound: those that match the text, or else the nearest ones.

    A number is a tempo; a key may be spelt in any way. Without a text, all words but tempi.
    """
    found, known = words.suggestions(here.library, text, limit)
    return WordsAnswer(
        known=known,
        words=[
            Word(dimension=dimension, word=word, like=words.term(dimension, word))
            for dimension, word in found
        ],
    )
