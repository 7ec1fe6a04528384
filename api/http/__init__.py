"""HTTP for the interface: routes, parameters, errors, authentication, the OpenAPI document."""
