"""Endpoints that call other services."""

from datetime import timedelta

from fastapi import APIRouter

from app.core.cache import redis_client
from app.core.useintegration import gtapi, name_api
from app.integration.google_translate.endpoint import GoogleTranslateEndpoints
from app.integration.google_translate.schema import GoogleTranslateSchema
from app.integration.IntegrationPackageName.endpoint import NameIntegration
from app.integration.IntegrationPackageName.schema import NameSchema
from fastapi_accelerator.cache import cache_redis

router = APIRouter()


@router.get("/name")
async def name(argument_1: str) -> NameIntegration.Schema.Successful:
    # Call integration method
    return await name_api.method_name(argument_1)


@router.get("/translate")
# We can easily cache responses from integrations
@cache_redis(cache_class=redis_client, cache_ttl=timedelta(minutes=10))
async def translate(
    text: str, from_lang: str = "en", to_lang: str = "ru"
) -> GoogleTranslateEndpoints.Schema.TranslateV2:
    # Call integration method
    return await gtapi.translate(text, from_lang, to_lang)
