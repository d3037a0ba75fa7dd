from app.integration.IntegrationPackageName.endpoint import NameIntegration

NameSchema = NameIntegration.Schema
