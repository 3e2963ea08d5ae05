"use strict";
// What the page shows, its words for numbers, and its colours: all of them readable by the colour-blind.
const report = JSON.parse(document.getElementById("contents").textContent);
const kernels = report.kernels, links = report.links, parts = report.parts;
const kernelCount = kernels.name.length;

const whole = new Intl.NumberFormat("en-US", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en-US", {maximumSignificantDigits: 3});
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const kibibytes = (bytes) => (bytes > 0 && bytes < 103 ? `${bytes} bytes` : `${(bytes / 1024).toFixed(1)} KiB`);  // never 0.0 of something

// Okabe and Ito, "Color Universal Design" (2008), without black; the last is for all else.
const CATEGORIES = ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#8A8A8A"];
const LEDGER_COLOURS = {weights: "#0072B2", activations: "#E69F00", buffers: "#009E73", code: "#8A8A8A", states: "#CC79A7"};
const LEDGER = Object.fromEntries(report.ledger.map((entry, at) => [entry, LEDGER_COLOURS[entry] ?? CATEGORIES[at % CATEGORIES.length]]));
const BOUNDS = {compute: "#0072B2", memory: "#E69F00", communication: "#009E73", transfer: "#CC79A7"};
const BOUND_NAMES = {compute: "arithmetic", memory: "memory ports", communication: "communication", transfer: "words in and out"};
const palettes = {viridis: hexes("viridis"), cividis: hexes("cividis")};

function hexes(name) {
  return Array.from(Bokeh.Palettes[name](256), (colour) =>
    typeof colour === "string" ? colour : `#${(colour >>> 8).toString(16).padStart(6, "0")}`);
}

const greatest = (numbers, least) => numbers.reduce((most, number) => Math.max(most, number), least);
const bytesOf = (k) => report.ledger.reduce((bytes, entry) => bytes + kernels[entry][k], 0);
const coresOf = (k) => kernels.width[k] * kernels.height[k];
const partOf = (() => {
  const found = new Map(parts.map((part, number) => [`${part.wafer},${part.phase}`, number]));
  return (wafer, phase) => found.get(`${wafer},${phase}`);
})();
// Cycles between two samples while a kernel is on its wafer: of the whole pipeline, or of its phase where phases take turns.
const intervalOf = (k) => {
  const part = parts[partOf(kernels.wafer[k], kernels.phase[k])];
  return Math.max(part.takes_turns ? part.interval : report.interval, 1);
};

// Kinds by how many kernels they have: the first seven have a colour of their own.
const kindColours = (() => {
  const counts = new Map();
  for (const kind of kernels.kind) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  const kinds = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  return new Map(kinds.map(([kind], rank) => [kind, CATEGORIES[Math.min(rank, CATEGORIES.length - 1)]]));
})();

// Kernels in the order in which they begin.
const byStart = Array.from({length: kernelCount}, (_, k) => k)
  .sort((a, b) => kernels.start[a] - kernels.start[b] || a - b);
const rankOf = new Array(kernelCount);
byStart.forEach((k, rank) => { rankOf[k] = rank; });

function ramp(palette, share) {
  return palettes[palette][Math.max(0, Math.min(255, Math.round(255 * share)))];
}

// The most words of the picture of traffic: through a port, as share of what it carries in an interval; or on all lanes of a core.
function trafficEnd(part) {
  const words = `${short.format(part.traffic.most)} words a sample`;
  if (!part.followed) return words;
  return `${words} through its busiest port, ${percent(part.traffic.most / (Math.max(part.interval, 1) * report.link_words_per_cycle))} of what it carries`;
}

// Each colouring: a colour for a kernel, or a picture of the fabric below the kernels, and its legend.
const COLOURINGS = {
  order: {title: "kernel, in order of execution", of: (k) => ramp("viridis", kernelCount > 1 ? rankOf[k] / (kernelCount - 1) : 0.5),
    palette: "viridis", ends: ["first to begin", "last to begin"]},
  kind: {title: "kind of kernel", of: (k) => kindColours.get(kernels.kind[k]),
    swatches: () => [...kindColours].map(([kind, colour], rank) => [rank < CATEGORIES.length ? kind : null, colour])},
  bound: {title: "what it is bound by", of: (k) => BOUNDS[kernels.bound[k]],
    swatches: () => Object.entries(BOUNDS).map(([bound, colour]) => [BOUND_NAMES[bound], colour])},
  busy: {title: "cycles of the interval", of: (k) => ramp("cividis", kernels.total[k] / intervalOf(k)), palette: "cividis",
    ends: ["idle", "busy all the time"]},
  utilisation: {title: "utilisation (arithmetic)", of: (k) => ramp("cividis", kernels.compute[k] / intervalOf(k)), palette: "cividis",
    ends: ["0% of cycles", "100%"]},
  memory: {title: "memory of the fullest core", of: (k) => ramp("cividis", bytesOf(k) / report.sram_bytes), palette: "cividis",
    ends: ["empty", kibibytes(report.sram_bytes)]},
  traffic: {title: "link traffic of each core", picture: "traffic", palette: "viridis",
    ends: ["0 words", trafficEnd]},
  colours: {title: "colours in use of each router", picture: "colours", palette: "viridis",
    ends: ["0", (part) => `${part.colours.most} of ${report.colours} colours`]},
};

// Black or white, whichever is easier to read on a colour (relative luminance of WCAG 2).
function readableOn(colour) {
  const channel = (at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5) > 0.18 ? "#000000" : "#ffffff";
}

// An element with its attributes and children; texts stay texts.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null) made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

// A name in so many letters: the end of a name tells more than its beginning. No line ends behind the dots.
const brief = (name, letters) => (name.length <= letters ? name : `\u2026\u2060${name.slice(name.length - Math.max(letters - 1, 0))}`);

// The same as an element, with the whole name where the mouse rests.
const briefly = (name, letters) => (name.length <= letters ? name : element("span", {title: name}, brief(name, letters)));

function swatchLegend(entries) {
  return entries.filter(([name]) => name !== null).map(([name, colour]) => {
    const swatch = element("span", {class: "swatch"});
    swatch.style.background = colour;
    return element("span", {}, swatch, name);
  });
}
