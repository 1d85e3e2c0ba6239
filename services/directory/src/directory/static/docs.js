"use strict";

const SERVICES = ["directory", "residents", "tickets", "points", "bookings", "notifications"];

window.ui = SwaggerUIBundle({
  urls: SERVICES.map((name) => ({ name, url: `/${name}/v1/openapi.json` })),
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIStandalonePreset],
  layout: "StandaloneLayout",
  validatorUrl: null,
  // The packaged Swagger UI 4 refuses to show OpenAPI 3.1, though it can show all that our documents use of it.
  responseInterceptor: (response) => {
    if (response.url.endsWith("/openapi.json") && typeof response.text === "string") {
      response.text = response.text.replace('"openapi":"3.1.0"', '"openapi":"3.0.3"');
    }
    return response;
  },
});
