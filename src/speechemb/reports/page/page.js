"use strict";
// Charts are drawn when they come into view; text from data is only ever set as text.
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const data = read("report-data"), clips = data.clips, MOST_LISTED = 100;
const $ = (id) => document.getElementById(id);
const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// --- charts
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
function themed(layout) {
  const axis = { gridcolor: css("--line"), zerolinecolor: css("--line"), linecolor: css("--line") };
  const of = { font: { color: css("--text"), family: "system-ui, sans-serif", size: 12 }, paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 60, r: 20, t: 20, b: 50 }, hoverlabel: { align: "left" }, ...layout };
  of.xaxis = { ...axis, ...layout.xaxis };
  of.yaxis = { ...axis, ...layout.yaxis };
  return of;
}
const config = { displaylogo: false, responsive: true, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
// plotly.js takes seconds to start: it runs once the page can be read, as a script of the text that the page holds.
function start() {
  if (window.Plotly) return;
  const script = document.createElement("script");
  script.textContent = $("library").textContent;
  document.head.append(script);
}
function draw(place) {
  start();
  const chart = data.charts[place.dataset.chart];
  Plotly.react(place, chart.data, themed(chart.layout), config);
}
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries)
    if (entry.isIntersecting) { seen.unobserve(entry.target); setTimeout(entry.target.id ? drawMap : draw, 50, entry.target); }
}, { rootMargin: "300px" });
document.querySelectorAll(".chart").forEach((place) => seen.observe(place));
// Paper is narrower than most windows: what is open is drawn for its width.
function fit(width) {
  document.body.style.maxWidth = width;
  document.querySelectorAll(".js-plotly-plot").forEach((place) => place.offsetParent && Plotly.Plots.resize(place));
}
addEventListener("beforeprint", () => {
  document.querySelectorAll(".chart:not(.js-plotly-plot)").forEach((place) => place.offsetParent && draw(place));
  fit("680px");
});
addEventListener("afterprint", () => fit(""));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  document.querySelectorAll(".js-plotly-plot").forEach((place) => (place.id ? drawMap : draw)(place));
});
// A link to a run opens it.
function openTarget() {
  const target = location.hash && $(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();

// --- sound
function play(number) {
  const embedded = $("sound-" + number), link = data.links[number];
  $("player").hidden = false;
  $("playing").textContent = clips.id[number] + ": " + clips.true[number] +
    (clips.speaker[number] ? ", speaker " + clips.speaker[number] : "") +
    (embedded || link ? "" : " (the recording is neither in this page nor where it was)");
  const sound = $("sound");
  if (!embedded && !link) { sound.removeAttribute("src"); return; }
  sound.src = embedded ? "data:audio/ogg;base64," + embedded.textContent : link;
  sound.play().catch((error) => {
    if (error.name !== "AbortError") $("playing").textContent += " (cannot be played: " + error.message + ")";
  });
}
$("close").addEventListener("click", () => { $("sound").pause(); $("player").hidden = true; });
document.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button && button.dataset.clip) play(Number(button.dataset.clip));
  if (button && button.classList.contains("cell")) listCell(button);
});

// --- lists of clips
function item(number, note) {
  const line = document.createElement("li"), button = document.createElement("button");
  button.type = "button";
  button.className = "play";
  button.textContent = "\u25b6";
  button.dataset.clip = number;
  button.setAttribute("aria-label", "Play " + clips.id[number]);
  line.append(button, " " + clips.id[number] + note);
  return line;
}
function fill(list, numbers, noteOf) {
  list.replaceChildren(...numbers.slice(0, MOST_LISTED).map((number, place) => item(number, noteOf(place))));
  if (numbers.length > MOST_LISTED) {
    const line = document.createElement("li");
    line.textContent = "and " + (numbers.length - MOST_LISTED) + " more";
    list.append(line);
  }
}
function listCell(button) {
  const run = data.runs[button.dataset.run], behind = button.closest("details").querySelector(".behind");
  const rows = run.clip.map((_, row) => row)
    .filter((row) => run.true[row] == button.dataset.true && run.predicted[row] == button.dataset.predicted)
    .sort((a, b) => run.confidence[b] - run.confidence[a]);
  const head = document.createElement("p"), list = document.createElement("ol");
  head.textContent = button.getAttribute("aria-label") + ", the surest first";
  list.className = "clips";
  fill(list, rows.map((row) => run.clip[row]), (place) => ", confidence " + (run.confidence[rows[place]] / 1000).toFixed(2));
  behind.replaceChildren(head, list);
}

// --- map
const maps = read("map-data"), COLOURS = data.colours;
function options(select, words) {
  select.replaceChildren(...words.map((word, place) => new Option(word, place)));
}
const numberOf = new Map(clips.id.map((id, number) => [id, number]));
const answersOf = data.runs.map(() => null);
function answers(place) {  // clip number -> row of the run's first answer
  if (!answersOf[place]) {
    answersOf[place] = new Map();
    data.runs[place].clip.forEach((number, row) => answersOf[place].has(number) || answersOf[place].set(number, row));
  }
  return answersOf[place];
}
function shownPoints() {
  const map = maps[$("map-of").value], run = data.runs[$("map-run").value], rows = answers($("map-run").value);
  const emotion = $("map-emotion").selectedOptions[0].text, show = $("map-show").value, word = $("map-search").value.toLowerCase();
  const found = [];
  let absent = 0;
  map.id.forEach((id, place) => {
    const number = numberOf.get(id), row = number === undefined ? undefined : rows.get(number);
    if (row === undefined) { absent += 1; return; }
    const right = run.true[row] === run.predicted[row];
    if (emotion !== "all" && clips.true[number] !== emotion) return;
    if (show !== "all" && (show === "right") !== right) return;
    if (word && !id.toLowerCase().includes(word)) return;
    found.push({ number, right, x: map.x[place], y: map.y[place],
      note: ": " + clips.true[number] + ", recognised as " + run.labels[run.predicted[row]] + " (" + (run.confidence[row] / 1000).toFixed(2) + ")" });
  });
  return [found, absent];
}
function categoryOf(point, by) {
  if (by === "speaker") return clips.corpus[point.number] + "/" + (clips.speaker[point.number] || "unknown");
  return by === "emotion" ? clips.true[point.number] : point.right ? "right" : "wrong";
}
function drawMap() {
  start();
  const [points, absent] = shownPoints(), by = $("map-colour").value, groups = new Map();
  for (const point of points) {
    const name = categoryOf(point, by);
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(point);
  }
  const names = [...groups.keys()].sort((a, b) => clips.order.indexOf(a) - clips.order.indexOf(b) || a.localeCompare(b));
  const size = Math.max(4, Math.min(9, 300 / Math.sqrt(points.length + 1)));
  const traces = names.map((name, place) => {
    const of = groups.get(name), look = COLOURS[name] || {};
    return { type: "scatter", mode: "markers", name: escaped(name), x: of.map((p) => p.x), y: of.map((p) => p.y),
      customdata: of.map((p) => p.number), hoverinfo: "text", text: of.map((p) => escaped(clips.id[p.number] + p.note)),
      marker: { size, opacity: 0.8, color: look.colour || "hsl(" + Math.round(360 * place / names.length) + ",65%,50%)", symbol: look.symbol || "circle" } };
  });
  const axis = { showticklabels: false, zeroline: false };
  Plotly.react($("map-plot"), traces, themed({ height: 560, hovermode: "closest", xaxis: axis, yaxis: { ...axis, scaleanchor: "x" },
    legend: { itemsizing: "constant", orientation: innerWidth < 700 ? "h" : "v" }, margin: { l: 10, r: 10, t: 10, b: 10 } }), config).then((plot) => {
    if (!plot.listens) { plot.on("plotly_click", (event) => play(event.points[0].customdata)); plot.listens = true; }
  });
  $("map-count").textContent = points.length + " clips shown" + (absent ? "; " + absent + " of the map have no answer of this run on this page" : "");
  if ($("map-clips").open) fill($("map-clips").querySelector("ol"), points.map((p) => p.number), (place) => points[place].note);
}
if (maps.length && data.runs.length) {
  $("no-map").hidden = true;
  $("map-tools").hidden = false;
  options($("map-of"), maps.map((map) => map.encoder + ", " + map.map));
  options($("map-run"), data.runs.map((run) => run.name));
  options($("map-emotion"), ["all", ...clips.order]);
  $("map-tools").querySelectorAll("select, input").forEach((field) => field.addEventListener("input", drawMap));
  $("map-tools").querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  $("map-clips").addEventListener("toggle", drawMap);
  seen.observe($("map-plot"));
}
