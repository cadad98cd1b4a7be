"""What is remembered is what was asked for last."""

from jaxsim.library.store.remembering import Remembering


def test_it_remembers_what_was_asked_for_last() -> None:
    calls: list[int] = []
    double = Remembering(lambda x: calls.append(x) or 2 * x, 2)
    assert [double(1), double(2), double(1), double(3)] == [2, 4, 2, 6]
    assert calls == [1, 2, 3]
    assert [x in double for x in (1, 2, 3)] == [True, False, True]
    assert double(2) == 4
    assert calls == [1, 2, 3, 2]


def test_a_failure_is_not_remembered() -> None:
    results = iter([ZeroDivisionError(), 5])

    def fail_once(_: int) -> int:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    tried = Remembering(fail_once, 2)
    try:
        tried(0)
    except ZeroDivisionError:
        assert 0 not in tried
    assert tried(0) == 5
