"""The parameters of a request, from its address and its form, and who sent it."""

import dataclasses
import hmac
from collections.abc import Sequence
from urllib.parse import parse_qsl

from starlette.requests import Request

from jaxsim.library.intake.music_server import Login, token
from jaxsim.library.service.subsonic.answers import (
    FAILED,
    MISSING,
    NO_SUCH_LOGIN,
    TWO_LOGINS,
    WRONG_LOGIN,
    Refused,
)

FORM = "application/x-www-form-urlencoded"
LOGIN = ("u", "p", "t", "s", "apiKey")  # who sent it
CLIENT = ("v", "c")  # and with what


@dataclasses.dataclass(frozen=True)
class Parameters:
    """Names and values in their order.

    Attributes:
      pairs: all of them.
      body: the request's body, as it came.
    """

    pairs: Sequence[tuple[str, str]]
    body: bytes = b""

    def get(self, name: str, default: str = "") -> str:
        return next((value for key, value in self.pairs if key == name), default)

    def need(self, name: str) -> str:
        """A value; raises Refused if it is missing."""
        if value := self.get(name):
            return value
        raise Refused(MISSING, f"the parameter {name} is missing")

    def whole(self, name: str, default: int, most: int) -> int:
        """A count from 0 to `most`; more is taken as `most`. Raises Refused if it is no count."""
        text = self.get(name, str(default))
        if not (text.isascii() and text.isdecimal()):
            raise Refused(FAILED, f"{name} is {text!r}, expected a whole number of at least 0")
        return min(int(text[:9]), most)

    def login(self) -> dict[str, str]:
        """The parameters that say who sent the request."""
        return {name: value for name, value in self.pairs if name in (*LOGIN, *CLIENT)}


async def read(request: Request) -> Parameters:
    """The parameters of a request."""
    body = b""
    pairs = list(request.query_params.multi_items())
    if request.method == "POST":
        body = await request.body()
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM:
            try:
                pairs += parse_qsl(body.decode(), keep_blank_values=True)
            except ValueError as error:
                raise Refused(FAILED, f"the form cannot be read ({error})") from None
    return Parameters(pairs, body)


def check(given: Parameters, expected: Login | None) -> None:
    """Raises Refused unless the request is by the one user, if there is one."""
    if expected is None:
        return
    if given.get("apiKey"):
        if given.get("u"):
            raise Refused(TWO_LOGINS, "both apiKey and a user, expected one of them")
        raise Refused(NO_SUCH_LOGIN, "apiKey is not supported, expected a user and a token")
    user = given.need("u")
    if given.get("t"):
        right, said = token(expected.password, given.need("s")), given.get("t").lower()
    else:
        right, said = expected.password, _decoded(given.need("p"))
    is_password = hmac.compare_digest(said.encode(), right.encode())
    if not (hmac.compare_digest(user.encode(), expected.user.encode()) and is_password):
        raise Refused(WRONG_LOGIN, "wrong user or password")


def _decoded(password: str) -> str:
    if password.startswith("enc:"):
        try:
            return bytes.fromhex(password.removeprefix("enc:")).decode()
        except ValueError:
            return ""
    return password
