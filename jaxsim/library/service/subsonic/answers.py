"""The protocol's envelope, with a method's content or an error, as XML, JSON or JSONP.

Errors too have the HTTP status 200. What OpenSubsonic does not define is left out of the XML.
"""

import json
import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from starlette.responses import Response

import jaxsim
from jaxsim.library.intake.music_server import VERSION

# The protocol's error codes.
FAILED, MISSING, WRONG_LOGIN, NO_SUCH_LOGIN, TWO_LOGINS, NOT_FOUND = 0, 10, 40, 42, 43, 70
OURS = ("closer_in", "closer_than", "contributions", "likeness", "score")  # additions of ours
OF_ELEMENTS = ("artistInfo", "artistInfo2")  # whose scalars are elements in XML too

_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,99}", re.ASCII)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Refused(Exception):
    """A request that is refused, with the protocol's code."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


def envelope(content: Mapping[str, Any]) -> dict[str, Any]:
    """A method's answer."""
    return {
        "status": "ok",
        "version": VERSION,
        "type": "jaxsim",
        "serverVersion": jaxsim.__version__,
        "openSubsonic": True,
        **content,
    }


def failure(error: Refused) -> dict[str, Any]:
    """The answer that says why there is none."""
    about = {"code": error.code, "message": str(error)}
    return envelope({"error": about}) | {"status": "failed"}


def render(answer: Mapping[str, Any], form: str, callback: str = "") -> Response:
    """An answer in the form "json" or "jsonp"; XML is the protocol's default."""
    if form == "jsonp" and not _CALLBACK.fullmatch(callback):
        answer = failure(Refused(MISSING, f"callback is {callback!r}, expected a name"))
        form = "json"
    if form in ("json", "jsonp"):
        text = json.dumps({"subsonic-response": answer}, ensure_ascii=False, allow_nan=False)
        if form == "json":
            return Response(text, media_type="application/json")
        # The two characters that JSON allows in texts and older JavaScript does not.
        text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        return Response(f"{callback}({text});", media_type="application/javascript")
    root = ElementTree.Element("subsonic-response", xmlns="http://subsonic.org/restapi")
    _fill(root, answer)
    body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return Response(body, media_type="application/xml")


def _fill(element: ElementTree.Element, content: Mapping[str, Any]) -> None:
    """Scalars become attributes, everything else becomes elements."""
    for name, value in content.items():
        if value is None or name in OURS:
            continue
        if isinstance(value, Mapping):
            _fill(ElementTree.SubElement(element, name), value)
        elif isinstance(value, list):
            for each in value:
                child = ElementTree.SubElement(element, name)
                if isinstance(each, Mapping):
                    _fill(child, each)
                else:
                    child.text = _text(each)
        elif element.tag in OF_ELEMENTS:
            ElementTree.SubElement(element, name).text = _text(value)
        else:
            element.set(name, _text(value))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return _NOT_XML.sub("\ufffd", str(value))
