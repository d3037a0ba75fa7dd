"use strict";

// Flask-Admin's form.js does the work; a strict policy forbids its inline handler.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add-inline]");
  if (button) {
    window.faForm.addInlineField(button, button.dataset.addInline);
  }
});
