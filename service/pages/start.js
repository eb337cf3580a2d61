"use strict";

const place = document.getElementById("swagger-ui");
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

// The viewer grows above a place that the address names, and takes the address for its own: go there once it has grown.
const wanted = document.getElementById(window.location.hash.slice(1));

// Code to copy calls the service that shows it.
for (const code of document.querySelectorAll("details code"))
  code.textContent = code.textContent.replaceAll("http://127.0.0.1:8000", window.location.origin);

window.SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  requestSnippetsEnabled: false,
  validatorUrl: null,
  onComplete: () => window.requestAnimationFrame(() => wanted?.scrollIntoView()),
});
