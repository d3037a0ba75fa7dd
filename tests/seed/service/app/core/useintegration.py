"""Integrations used in the project"""

from app.core.config import UPSTREAM_TOKEN, UPSTREAM_URL
from app.integration.google_translate.endpoint import GoogleTranslateIntegration
from app.integration.IntegrationPackageName.endpoint import NameIntegration

# Creating an instance of integration
name_api = NameIntegration(
    # Start for url path
    base_url=UPSTREAM_URL,
    # Credentials that we can use in integration methods
    credentials={"API_TOKEN": UPSTREAM_TOKEN},
)

# Creating an instance of integration
gtapi = GoogleTranslateIntegration(
    base_url=UPSTREAM_URL,
    # Save credentials in the class that we can use in integration methods
    credentials={"API_TOKEN": UPSTREAM_TOKEN},
)
