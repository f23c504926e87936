// The plan's form: a slider says its value, and the settings of what is not chosen stay out of the way.
"use strict";
function sayValue(slider) {
  const output = slider.parentElement.querySelector(`output[for="${CSS.escape(slider.id)}"]`);
  if (output) output.textContent = slider.value;
}
function showChosen(form) {
  for (const part of form.querySelectorAll("[data-for]")) {
    const [name, value] = part.dataset.for.split("=");
    const control = form.elements[name];
    if (!control) continue;
    part.hidden = control.type === "checkbox" ? !control.checked : control.value !== value;
  }
}
for (const form of document.querySelectorAll("form[data-plan]")) {
  form.addEventListener("input", (event) => {
    if (event.target.type === "range") sayValue(event.target);
    showChosen(form);
  });
  for (const slider of form.querySelectorAll("input[type=range]")) sayValue(slider);
  showChosen(form);
}
