"""A translation service that fails on demand.

It speaks the format of Google's `translateHtml`, so that the demonstration's
integration has something behind it that can break: `POST /mode/flaky` lets every
second call fail, `/mode/down` lets each call fail, `/mode/steady` none.
"""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

WORDS = {
    "cat": "кошка",
    "dog": "собака",
    "good morning": "доброе утро",
    "hello": "привет",
    "house": "дом",
    "thank you": "спасибо",
    "world": "мир",
}
MODES = ("steady", "flaky", "down")


class FlakyTranslator:
    """An ASGI application that translates a handful of words, when it feels like it."""

    def __init__(self, mode: str = "steady") -> None:
        self.mode = mode
        self.calls = 0
        self.app = Starlette(
            routes=[
                Route("/v1/translateHtml", self._translate, methods=["POST"]),
                Route("/mode/{mode}", self._switch, methods=["POST"]),
            ]
        )

    @property
    def fails(self) -> bool:
        """Whether the call that just arrived shall fail."""
        return self.mode == "down" or (self.mode == "flaky" and self.calls % 2 == 1)

    async def _translate(self, request: Request) -> Response:
        self.calls += 1
        if self.fails:
            return JSONResponse({"error": {"message": "The backend is tired."}}, 503)
        try:
            [[lines, _, _], _] = await request.json()
            return JSONResponse([[WORDS.get(line.lower(), line)] for line in lines])
        except (AttributeError, TypeError, ValueError):
            return JSONResponse({"error": {"message": "Not a translation."}}, 400)

    async def _switch(self, request: Request) -> Response:
        mode = request.path_params["mode"]
        if mode not in MODES:
            return JSONResponse({"error": f"choose one of {', '.join(MODES)}"}, 404)
        self.mode, self.calls = mode, 0
        return JSONResponse({"mode": mode})
