"use strict";

// A form that destroys something asks first; the question may be on its button.
document.addEventListener("submit", (event) => {
  const form = event.target;
  const needed = form.dataset.needs;
  if (needed && !new FormData(form).has(needed)) {
    event.preventDefault();
    window.alert(form.dataset.needsMessage);
    return;
  }
  const question = event.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});

document.getElementById("select-all")?.addEventListener("change", (event) => {
  for (const box of document.querySelectorAll("input[name=rowid]")) {
    box.checked = event.target.checked;
  }
});
