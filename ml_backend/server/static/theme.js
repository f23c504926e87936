// Runs before the first paint, so that a chosen theme does not flash. "system" is the absence of a choice.
"use strict";
const NAMES = ["system", "light", "dark"];
function chosenTheme() {
  try { const name = localStorage.getItem("nextlabel-theme"); return NAMES.includes(name) ? name : "system"; }
  catch { return "system"; } // storage is switched off
}
function applyTheme(name) {
  if (name === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", name);
}
applyTheme(chosenTheme());
