"use strict";

const links = [...document.querySelectorAll('nav a[href^="/docs?service="]')];
const chosen = links.find((link) => link.search === location.search) ?? links[0];
const documentOf = (link) => `/${link.textContent}/v1/openapi.json`;
const mark = (shown) => links.forEach((link) => link.toggleAttribute("aria-current", link === shown));

const ui = SwaggerUIBundle({
  url: documentOf(chosen),
  dom_id: "#swagger-ui",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
mark(chosen);

// Without loading the page anew, so that a token given under "Authorize" holds for the next service too.
for (const link of links) {
  link.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", link.href);
    ui.specActions.updateUrl(documentOf(link));
    ui.specActions.download(documentOf(link));
    mark(link);
  });
}
