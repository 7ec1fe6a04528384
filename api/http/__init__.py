"""HTTP for the REST API: routes, parameters, errors, authentication, the OpenAPI document."""
