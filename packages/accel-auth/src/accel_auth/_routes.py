"""Routes of an issuer."""

import hmac
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic import BaseModel
from starlette.routing import Match
from starlette.types import Scope

from accel_auth._app import ACCESS_TYPE, REFRESH_TYPE, AppAuth
from accel_auth._claims import Claims, scopes_of
from accel_auth._errors import (
    AuthRequestError,
    InvalidTokenError,
    NotAuthenticatedError,
    UnsupportedGrantError,
)
from accel_auth._forms import (
    PASSWORD_FORM,
    TOKEN_FORM,
    basic_credentials,
    credentials,
    field,
    form_docs,
    read_form,
)
from accel_auth._grants import TokenPair, grant_password, grant_refresh
from accel_auth._stores import Session

# RFC 6749, section 5.1, asks for both on whatever holds tokens.
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
INTROSPECT_SCOPE = "introspect"


class Token(BaseModel):
    """The answer of `/token` (RFC 6749, section 5.1)."""

    access_token: str | None = None
    token_type: str = "bearer"  # noqa: S105 -- a scheme, not a secret
    expires_in: int
    refresh_token: str | None = None
    scope: str | None = None
    csrf_token: str | None = None


class OAuthError(BaseModel):
    """A refusal of `/token` (RFC 6749, section 5.2), with FastAPI's `detail`."""

    error: str
    error_description: str
    detail: str


_REFUSAL: dict[str, Any] = {"model": OAuthError}


class _YieldingRoute(APIRoute):
    """A route that lets a route of the app's own on the same path win."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        match, child = super().matches(scope)
        if match is Match.FULL and self._is_taken(scope["app"]):
            return Match.NONE, {}
        return match, child

    def _is_taken(self, app: FastAPI) -> bool:
        mine = self.methods or set()
        # FastAPI keeps an included router whole: its routes are not in `app.routes`.
        return any(
            route.path == self.path
            and not isinstance(route.original_route, _YieldingRoute)
            and not mine.isdisjoint(route.methods or ())
            for route in iter_route_contexts(app.router.routes)
        )


Endpoint = Callable[[AppAuth, Request], Awaitable[JSONResponse]]


def _bound(endpoint: Endpoint, auth: AppAuth) -> Callable[[Request], Any]:
    """Bind *endpoint* to *auth*; it refuses in the form of RFC 6749, section 5.2.

    Whatever handlers the app has for errors: clients of OAuth expect that form.
    """

    async def wrapper(request: Request) -> JSONResponse:
        try:
            return await endpoint(auth, request)
        except AuthRequestError as exc:
            text = str(exc.detail)
            body = {"error": exc.oauth_error, "error_description": text, "detail": text}
            headers = {**_NO_STORE, **(exc.headers or {})}
            return JSONResponse(body, exc.http_status, headers)

    # FastAPI names the operation after it.
    wrapper.__name__ = endpoint.__name__.strip("_")
    return wrapper


def issuer_router(auth: AppAuth) -> APIRouter:
    """Return the routes of *auth*; each gives way to a route of the app's own."""
    router = APIRouter(prefix=auth.prefix, tags=["auth"], route_class=_YieldingRoute)
    router.post(
        "/token",
        summary="Log in, or refresh a login",
        response_model=Token,
        responses=dict.fromkeys((400, 401, 422, 429, 503), _REFUSAL),
        openapi_extra=form_docs(PASSWORD_FORM),
    )(_bound(_token, auth))
    router.post(
        "/token/revoke",
        summary="Log out: revoke a token and its session",
        openapi_extra=form_docs(TOKEN_FORM),
    )(_bound(_revoke, auth))
    router.post(
        "/token/introspect",
        summary="Describe a token",
        responses={401: _REFUSAL},
        openapi_extra=form_docs(TOKEN_FORM),
    )(_bound(_introspect, auth))

    @router.get("/.well-known/jwks.json", summary="The public keys of this issuer")
    async def jwks() -> JSONResponse:
        headers = {"Cache-Control": "public, max-age=300"}
        return JSONResponse(auth.keyring.jwks(), headers=headers)

    return router


async def _token(auth: AppAuth, request: Request) -> JSONResponse:
    auth.check_csrf(request)
    form = await read_form(request)
    # The seed's clients send a name and a password alone.
    match form.get("grant_type") or "password":
        case "password":
            pair = await grant_password(
                auth,
                *credentials(form),
                scope=form.get("scope", ""),
                client=request.client.host if request.client else "",
            )
        case "refresh_token":
            refresh = _token_of(auth, request, form, "refresh_token")
            pair = await grant_refresh(auth, refresh, scope=form.get("scope", ""))
        case _:
            raise UnsupportedGrantError
    return _answer(auth, request, pair)


def _answer(auth: AppAuth, request: Request, pair: TokenPair) -> JSONResponse:
    answer = Token(expires_in=pair.expires_in, scope=pair.scope)
    cookies = auth.settings.cookies
    if cookies is None:
        answer.access_token, answer.refresh_token = pair.access, pair.refresh
    else:
        answer.csrf_token = pair.csrf
    response = JSONResponse(answer.model_dump(exclude_none=True), headers=_NO_STORE)
    if cookies is not None:
        cookies.write(
            response,
            (pair.access, pair.refresh, pair.csrf),
            path=_cookie_path(auth, request),
            max_age=pair.refresh_expires_in,
        )
    return response


def _cookie_path(auth: AppAuth, request: Request) -> str:
    # As the browser sees it: below where the app is mounted, or its proxy's prefix.
    return f"{request.scope.get('root_path', '')}{auth.prefix}/token"


def _token_of(
    auth: AppAuth, request: Request, form: Mapping[str, str], name: str
) -> str:
    """Return a token from the form, or the refresh token from its cookie."""
    cookies = auth.settings.cookies
    if form.get(name) or cookies is None:
        return field(form, name)
    if (token := request.cookies.get(cookies.refresh)) is None:
        return field(form, name)
    try:
        claims = auth.verify(token, REFRESH_TYPE)
    except InvalidTokenError:
        return token  # whoever uses it will refuse it
    auth.check_csrf(request, claims)
    return token


async def _revoke(auth: AppAuth, request: Request) -> JSONResponse:
    """Answer 200 to an unknown token too: it is as good as revoked (RFC 7009, 2.2)."""
    # The answer clears the cookies, whatever token the form names.
    auth.check_csrf(request)
    form = await read_form(request)
    token = _token_of(auth, request, form, "token")
    if (claims := _claims_of(auth, token)) is not None:
        await auth.revoke_token(claims)
    response = JSONResponse({}, headers=_NO_STORE)
    if auth.settings.cookies is not None:
        auth.settings.cookies.clear(response, path=_cookie_path(auth, request))
    return response


def _claims_of(auth: AppAuth, token: str) -> Claims | None:
    for typ in (ACCESS_TYPE, REFRESH_TYPE):
        try:
            return {**auth.verify(token, typ), "typ": typ}
        except InvalidTokenError:
            continue
    return None


async def _introspect(auth: AppAuth, request: Request) -> JSONResponse:
    allowed = await _introspector(auth, request.headers.get("authorization", ""))
    form = await read_form(request)
    claims = _claims_of(auth, field(form, "token"))
    # One answer for dead, unknown and foreign tokens (RFC 7662, section 2.2).
    if claims is None or not await _is_live(auth, claims) or not allowed(claims):
        return JSONResponse({"active": False}, headers=_NO_STORE)
    typ = claims.pop("typ")
    claims.pop("csrf", None)  # the proof is for the user's own page
    kind = "refresh_token" if typ == REFRESH_TYPE else "access_token"
    answer = {**claims, "active": True, "username": claims["sub"], "token_type": kind}
    return JSONResponse(answer, headers=_NO_STORE)


async def _is_live(auth: AppAuth, claims: Claims) -> bool:
    # A refresh token lives while it is the current one; no deny list knows it.
    if claims["typ"] == REFRESH_TYPE:
        current = await auth.store.current(Session(claims["sub"], claims["sid"]))
        return current is not None and current == str(claims["jti"])
    return not await auth.store.is_denied(claims["jti"], claims.get("sid", ""))


async def _introspector(auth: AppAuth, header: str) -> Callable[[Claims], bool]:
    """Return which tokens the caller may ask about (RFC 7662, section 2.1).

    A client of the settings, and a user with the scope `introspect`, about any;
    another user about the own ones.
    """
    if (basic := basic_credentials(header)) is not None:
        name, secret = basic
        # An unknown name has an empty secret, which is never the right one.
        expected = auth.settings.introspection_clients.get(name, "")
        same = hmac.compare_digest(secret.encode(), expected.encode())
        if expected and same:
            return lambda _: True
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticatedError
    caller = await auth.authenticate(token.strip())
    if INTROSPECT_SCOPE in scopes_of(caller):
        return lambda _: True
    return lambda claims: bool(claims["sub"] == caller["sub"])
