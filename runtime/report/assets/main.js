// What the page is at, what the user does, and what changes then.
const state = {selected: -1, colouring: "order", matches: null};

function select(k) {
  state.selected = k;
  if (k >= 0) {
    const part = partOf(kernels.wafer[k], kernels.phase[k]);
    if (part !== floorplan.part) { showPart(part); drawLegend(); }
  }
  drawFlows();
  for (const mark of marks) mark(k);
  document.getElementById("said").textContent = k < 0 ? "no kernel selected"
    : `${kernels.name[k]}, ${kernels.kind[k]}, ${shapeOf(k)}, ${whole.format(kernels.total[k])} cycles, bound by ${BOUND_NAMES[kernels.bound[k]]}`;
  showDetails();
  markRow();
}

function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = document.getElementById("found");
  if (!words.length) { state.matches = null; found.textContent = ""; }
  else {
    state.matches = new Set();
    for (let k = 0; k < kernelCount; k++) {
      const text = `${kernels.name[k]} ${kernels.kind[k]} ${kernels.operators[k].join(" ")}`.toLowerCase();
      if (words.every((word) => text.includes(word))) state.matches.add(k);
    }
    found.textContent = `${whole.format(state.matches.size)} of ${whole.format(kernelCount)} kernels found`;
  }
  table.page = 0;
  recolour();
  orderTable();
}

function setColouring(name) {
  state.colouring = name;
  document.getElementById("colouring").value = name;
  recolour();
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = document.getElementById("theme");
  button.setAttribute("aria-pressed", String(dark));
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-label", "Dark colours");
  for (const figure of figures) paint(figure);
  if (floorplan.figure) drawLabels();
}

// The next kernel of the plan or the one before; without a selection the first or the last of what is shown.
function step(by) {
  const {shown} = floorplan;
  if (!kernelCount) return;
  if (state.selected < 0) select((by > 0 ? shown[0] : shown.at(-1)) ?? -1);
  else select((state.selected + by + kernelCount) % kernelCount);
}

function goToPart(number) {
  showPart(Math.max(0, Math.min(number, parts.length - 1)));
  drawLegend();
}

const ARROWS = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const {shown} = floorplan;
  const at = shown.indexOf(state.selected);
  const names = Object.keys(COLOURINGS);
  const actions = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": zoomReset, Escape: () => select(-1),
    n: () => step(1), p: () => step(-1),
    c: () => setColouring(names[(names.indexOf(state.colouring) + 1) % names.length]),
  };
  if (event.key in ARROWS) {
    const next = at < 0 ? shown[0] ?? -1 : neighbour(state.selected, ...ARROWS[event.key]);
    if (next >= 0) select(next);
  } else if (event.key in actions) actions[event.key]();
  else return;
  event.preventDefault();
}

function start() {
  const pick = document.getElementById("colouring");
  for (const [name, colouring] of Object.entries(COLOURINGS)) pick.append(element("option", {value: name}, colouring.title));
  pick.addEventListener("change", () => setColouring(pick.value));
  const part = document.getElementById("part");
  const first = new Array(parts.length).fill("");
  kernels.name.forEach((name, k) => { const at = partOf(kernels.wafer[k], kernels.phase[k]); first[at] ||= name; });
  parts.forEach((each, number) => part.append(element("option", {value: number},
    each.mode === "sequential" && first[number] ? `${partName(each)}: ${brief(first[number], 32)}` : partName(each))));
  for (const id of ["part-label", "part-steps"]) document.getElementById(id).hidden = parts.length < 2;
  part.addEventListener("change", () => goToPart(Number(part.value)));
  document.getElementById("part-before").addEventListener("click", () => goToPart(floorplan.part - 1));
  document.getElementById("part-after").addEventListener("click", () => goToPart(floorplan.part + 1));
  let waiting = 0;
  const box = document.getElementById("search");
  box.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(() => search(box.value), 120); });
  box.addEventListener("keydown", (event) => {  // the first that is found
    if (event.key !== "Enter") return;
    clearTimeout(waiting);
    search(box.value);
    if (state.matches !== null && table.order.length) select(table.order[0]);
  });
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  document.getElementById("zoom-reset").addEventListener("click", zoomReset);
  document.getElementById("floorplan").addEventListener("keydown", onKey);
  document.getElementById("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  const likes = matchMedia("(prefers-color-scheme: dark)");
  likes.addEventListener("change", () => setTheme(likes.matches));
  setTheme(likes.matches);
  showFacts();
  showDetails();
  showLimits();
  showParts();
  showNotes();
  makeTable();
  orderTable();
  makeFloorplan();
  showPart(0);
  drawLegend();
  floorplan.figure.draw().then(() => drawRest([drawStages, drawTimeline, drawMemory, drawRoofline]));
}

// The charts below the floorplan, one after the other: what is seen first is there first.
function drawRest(charts) {
  const [next, ...rest] = charts;
  if (!next) { document.documentElement.dataset.ready = "yes"; return; }
  setTimeout(() => { next(); drawRest(rest); }, 0);
}

start();
