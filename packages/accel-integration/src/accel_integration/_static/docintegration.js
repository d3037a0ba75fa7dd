"use strict";
// The page is complete without this: here it filters while one types, and stays fresh.
const endpoints = [...document.querySelectorAll(".endpoint")];
const search = document.querySelector("#q");
const nothing = document.querySelector("#nothing");

function filter() {
  const wanted = search.value.trim().toLowerCase();
  for (const endpoint of endpoints) {
    endpoint.hidden = !endpoint.dataset.text.includes(wanted);
  }
  for (const section of document.querySelectorAll(".integration")) {
    section.hidden = !section.querySelector(".endpoint:not([hidden])");
  }
  nothing.hidden = Boolean(document.querySelector(".integration:not([hidden])"));
}

function show(key, state) {
  for (const mark of document.querySelectorAll(`[data-key="${CSS.escape(key)}"]`)) {
    mark.dataset.state = state;
    if (mark.classList.contains("badge")) mark.textContent = state;
    else mark.title = state;
  }
}

async function refresh() {
  const response = await fetch(document.body.dataset.stateUrl);
  if (!response.ok) return;
  for (const integration of (await response.json()).integrations) {
    show(integration.slug, integration.state);
    for (const endpoint of integration.endpoints) {
      const key = `${integration.slug}.${endpoint.name}`;
      show(key, endpoint.state);
      for (const [name, text] of Object.entries(endpoint.shown)) {
        const place = document.getElementById(`${key}.${name}`);
        if (place) place.textContent = text;
      }
    }
  }
}

search.addEventListener("input", filter);
setInterval(() => document.hidden || refresh().catch(() => {}), 5000);
