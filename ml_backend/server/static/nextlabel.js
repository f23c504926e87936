// What the pages do beyond links and forms: the theme's button, a question before a change, and live updates.
"use strict";

const theme = document.getElementById("theme");
function nameTheme() { theme.querySelector("[data-theme-name]").textContent = chosenTheme(); }
theme.addEventListener("click", () => {
  const next = NAMES[(NAMES.indexOf(chosenTheme()) + 1) % NAMES.length];
  try { localStorage.setItem("nextlabel-theme", next); } catch { /* the choice lasts as long as the page */ }
  applyTheme(next);
  nameTheme();
  document.dispatchEvent(new CustomEvent("nextlabel:theme"));
});
nameTheme();

document.addEventListener("submit", (event) => {
  const question = event.target.dataset.sure;
  if (question && !window.confirm(question)) event.preventDefault();
});

function say(words, bad) {
  const line = document.createElement("p");
  line.className = bad ? "said bad" : "said";
  line.textContent = words;
  document.getElementById("said").replaceChildren(line);
}
document.addEventListener("htmx:responseError", (event) => {
  let words = "The server refused; load the page again.";
  try { words = JSON.parse(event.detail.xhr.responseText).detail || words; } catch { /* not JSON: a page */ }
  say(words, true);
});
document.addEventListener("htmx:sendError", () => say("The server does not answer.", true));

// Live: at each message the page is fetched anew, and elements with data-live that differ are replaced.
let stream = null, fetching = false, again = false, retry = 0;
async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.status >= 500) { clearTimeout(retry); retry = setTimeout(refresh, 3000); }  // the ledger is busy or away
    if (answer.redirected || !answer.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const old of document.querySelectorAll("[data-live][id]")) replace(old, fresh.getElementById(old.id));
  } catch { /* the stream reconnects by itself and asks again */ }
  finally {
    fetching = false;
    if (again) { again = false; refresh(); }
  }
}
const shown = new Map();
function replace(old, fresh) {
  if (!fresh || (old.contains(document.activeElement) && isTyping())) return;
  const html = fresh.innerHTML;
  if (html === (shown.get(old.id) ?? old.innerHTML)) return;
  shown.set(old.id, html);
  const open = [...old.querySelectorAll("details[id][open]")].map((part) => part.id);
  const focus = old.contains(document.activeElement) ? document.activeElement.id : "";
  old.replaceChildren(...fresh.childNodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  if (focus) document.getElementById(focus)?.focus();
  window.htmx?.process(old);
  document.dispatchEvent(new CustomEvent("nextlabel:fresh", { detail: old }));
}
function isTyping() { return document.activeElement.matches("input, select, textarea"); }

// A hidden page lets go of its connection: browsers hold only six to one server.
function listen() {
  const address = document.body.dataset.events;
  if (!address || document.hidden) { stream?.close(); stream = null; return; }
  if (stream) return;
  stream = new EventSource(address);
  stream.addEventListener("open", refresh);  // what changed between the page and the stream
  stream.addEventListener("changed", refresh);
  stream.addEventListener("error", () => {  // a lost connection comes back by itself, one that was refused does not
    if (stream?.readyState !== EventSource.CLOSED) return;
    stream = null;
    setTimeout(listen, 15000);
  });
}
document.addEventListener("visibilitychange", listen);
window.addEventListener("pagehide", () => stream?.close());
listen();
