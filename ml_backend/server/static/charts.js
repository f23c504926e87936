// Draws every figure.chart from the JSON inside it, in the page's own colours, and anew when they change.
"use strict";
function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
function resolved(name) { // light-dark() is resolved by painting with it
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}
function draw(figure) {
  const { data, layout = {} } = JSON.parse(figure.querySelector("script[type='application/json']").textContent);
  const ink = resolved("--ink"), line = resolved("--line"), room = resolved("--surface");
  const series = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"].map(resolved);
  const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, automargin: true };
  Plotly.react(figure.querySelector(".plot"), data, {
    ...layout,
    paper_bgcolor: room, plot_bgcolor: room, colorway: layout.colorway || series,
    font: { color: ink, family: colour("--font"), size: 13 },
    margin: { l: 48, r: 12, t: 12, b: 40, ...(layout.margin || {}) },
    xaxis: { ...axis, ...(layout.xaxis || {}) }, yaxis: { ...axis, ...(layout.yaxis || {}) },
    legend: { orientation: "h", y: -0.2, ...(layout.legend || {}) },
  }, { responsive: true, displayModeBar: false });
}
function drawAll(within) { for (const figure of within.querySelectorAll("figure.chart")) draw(figure); }
document.addEventListener("nextlabel:theme", () => drawAll(document));
document.addEventListener("nextlabel:fresh", (event) => drawAll(event.detail));
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
drawAll(document);
