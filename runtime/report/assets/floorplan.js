// The floorplan of what is on a wafer at once: rectangles of kernels, pictures of the fabric, flows of the selected kernel.
const floorplan = {part: 0, shown: [], figure: null};
const DIMMED = 0.12;
const LEAST_LETTERS = 7;  // of a name: fewer would say nothing
const PICTURE_PIXELS = 1400;

function makeFloorplan() {
  const data = source({left: [], right: [], top: [], bottom: [], colour: [], alpha: [], line: [], name: [], kind: [], shape: [], split: [], memory: [], cycles: [], bound: [], operators: []});
  const labels = source({x: [], y: [], text: [], angle: [], colour: [], back: []});
  const picture = source({url: [], x: [], y: [], w: [], h: []});
  const flows = source({xs: [], ys: [], colour: [], width: []});
  const heads = source({x: [], y: [], colour: []});
  const chosen = source({left: [], right: [], top: [], bottom: []});
  const ends = source({left: [], right: [], top: [], bottom: [], colour: [], dash: []});
  const size = floorplanSize();
  const figure = makeFigure("floorplan", {frame_width: size.width, frame_height: size.height, tools: "", x_axis_location: "above",
    x_range: new Bokeh.Range1d({start: 0, end: report.columns}), y_range: new Bokeh.Range1d({start: report.rows, end: 0}), min_border: 4});
  figure.xgrid.visible = false;
  figure.ygrid.visible = false;
  for (const axis of [figure.xaxis, figure.yaxis]) axis.formatter = new Bokeh.NumeralTickFormatter({format: "0"});
  figure.image_url({url: {field: "url"}, x: {field: "x"}, y: {field: "y"}, w: {field: "w"}, h: {field: "h"}, anchor: "top_left", source: picture});
  const edges = {left: {field: "left"}, right: {field: "right"}, top: {field: "top"}, bottom: {field: "bottom"}};
  const rectangles = figure.quad({...edges, fill_color: {field: "colour"}, fill_alpha: {field: "alpha"}, line_alpha: {field: "line"}, line_width: 0.7, source: data});
  figure.quad({...edges, fill_color: null, line_color: "#ffffff", line_width: 4, source: ends});
  figure.quad({...edges, fill_color: null, line_color: {field: "colour"}, line_dash: {field: "dash"}, line_width: 2, source: ends});
  const outline = figure.quad({...edges, fill_color: null, line_width: 3, source: chosen});
  figure.multi_line({xs: {field: "xs"}, ys: {field: "ys"}, line_width: 4.5, line_color: "#ffffff", line_alpha: 0.85, source: flows});
  figure.multi_line({xs: {field: "xs"}, ys: {field: "ys"}, line_color: {field: "colour"}, line_width: 2.2, source: flows});
  figure.scatter({x: {field: "x"}, y: {field: "y"}, marker: "circle", size: 8, fill_color: {field: "colour"}, line_color: "#ffffff", source: heads});
  figure.text({x: {field: "x"}, y: {field: "y"}, text: {field: "text"}, angle: {field: "angle"}, text_color: {field: "colour"}, background_fill_color: {field: "back"}, text_font_size: "11px",
    text_align: "center", text_baseline: "middle", source: labels});
  figure.repaints.push((colours) => {
    rectangles.glyph.line_color = {value: colours.outline};
    outline.glyph.line_color = {value: colours.mark};
  });
  addHover(figure, [rectangles], [["kernel", "@name"], ["kind", "@kind"], ["operators", "@operators"], ["shape", "@shape"], ["split", "@split"], ["memory", "@memory"], ["cycles", "@cycles"], ["bound by", "@bound"]],
    {attachment: "horizontal"});
  const wheel = new Bokeh.WheelZoomTool({active: false});
  figure.add_tools(new Bokeh.PanTool(), wheel);
  const box = document.getElementById("floorplan");
  box.addEventListener("focusin", () => { wheel.active = true; });  // scrolling past the floorplan scrolls the page
  box.addEventListener("focusout", () => { wheel.active = false; });
  box.addEventListener("pointerdown", () => box.focus({preventScroll: true}));
  figure.on_event("tap", (event) => {
    const hit = floorplan.shown.find((k) => inside(k, event.x, event.y)) ?? -1;
    select(hit);
  });
  let waiting = 0;
  const later = () => { clearTimeout(waiting); waiting = setTimeout(drawLabels, 60); };
  figure.x_range.change.connect(later);
  figure.y_range.change.connect(later);
  Object.assign(floorplan, {figure, data, labels, picture, flows, heads, chosen, ends});
  window.addEventListener("resize", () => {
    const fresh = floorplanSize();
    figure.setv({frame_width: fresh.width, frame_height: fresh.height});
    later();
  });
}

const inside = (k, x, y) => x >= kernels.x[k] && x < kernels.x[k] + kernels.width[k] && y >= kernels.y[k] && y < kernels.y[k] + kernels.height[k];

// Pixels of the frame: cores are square, but in regions that are very long or very high.
function floorplanSize() {
  const space = document.querySelector(".beside").clientWidth;
  const room = Math.max(200, (space > 800 ? space - 370 : space) - 60);
  const aspect = Math.min(4, Math.max(0.4, report.columns / report.rows));
  const height = Math.min(Math.max(320, Math.min(700, window.innerHeight - 160)), room / aspect);
  return {width: Math.round(height * aspect), height: Math.round(height)};
}

function operatorsOf(k, limit) {
  const names = kernels.operators[k];
  const said = names.slice(0, limit).map((name) => brief(name, 36)).join(", ");
  return names.length <= limit ? said : `${said} and ${names.length - limit} more`;
}

const shapeOf = (k) => `${kernels.width[k]} x ${kernels.height[k]} cores at column ${kernels.x[k]}, row ${kernels.y[k]}`;

// What does not change while a part is shown.
function showPart(number) {
  floorplan.part = number;
  const part = parts[number];
  document.getElementById("part").value = number;
  document.getElementById("part-before").disabled = number === 0;
  document.getElementById("part-after").disabled = number === parts.length - 1;
  const shown = [];
  for (let k = 0; k < kernelCount; k++) if (kernels.wafer[k] === part.wafer && kernels.phase[k] === part.phase) shown.push(k);
  floorplan.shown = shown;
  floorplan.data.data = {
    left: shown.map((k) => kernels.x[k]), right: shown.map((k) => kernels.x[k] + kernels.width[k]),
    top: shown.map((k) => kernels.y[k]), bottom: shown.map((k) => kernels.y[k] + kernels.height[k]),
    name: shown.map((k) => kernels.name[k]), kind: shown.map((k) => kernels.kind[k]), operators: shown.map((k) => operatorsOf(k, 3)),
    shape: shown.map(shapeOf), split: shown.map((k) => kernels.split[k]), memory: shown.map((k) => `${kibibytes(bytesOf(k))} on the fullest core`),
    cycles: shown.map((k) => whole.format(kernels.total[k])), bound: shown.map((k) => BOUND_NAMES[kernels.bound[k]]), ...looks(),
  };
  drawPicture();
  drawLabels();
  drawFlows();
  document.getElementById("floorplan").setAttribute("aria-label",
    `Floorplan of ${partName(part)}: ${shown.length} kernels on ${report.columns} columns and ${report.rows} rows of cores`);
}

// Colours of the rectangles: by the colouring, and pale where a search does not find them.
function looks() {
  const colouring = COLOURINGS[state.colouring];
  const pale = (k) => state.matches !== null && !state.matches.has(k);
  const full = colouring.picture ? 0.0 : 1.0;
  return {
    colour: floorplan.shown.map((k) => (colouring.picture ? "#888888" : colouring.of(k))),
    alpha: floorplan.shown.map((k) => (pale(k) ? (full ? DIMMED : 0.55) : full)),
    line: floorplan.shown.map((k) => (pale(k) ? 0.3 : 1)),
  };
}

function recolour() {
  floorplan.data.data = {...floorplan.data.data, ...looks()};
  drawPicture();
  drawLabels();
  drawLegend();
}

function drawLegend() {
  const colouring = COLOURINGS[state.colouring];
  const legend = document.getElementById("legend");
  if (colouring.swatches) { legend.replaceChildren(...swatchLegend(colouring.swatches())); return; }
  const bar = element("span", {class: "ramp", role: "img", "aria-label": `colours from ${colouring.ends[0]} on`});
  bar.style.background = `linear-gradient(to right, ${palettes[colouring.palette].filter((_, i) => i % 17 === 0).join(", ")})`;
  const ends = colouring.ends.map((end) => (typeof end === "function" ? end(parts[floorplan.part]) : end));
  const side = parts[floorplan.part].tile;
  const tiles = colouring.picture && side > 1 ? `; each dot is the most of ${side} x ${side} cores` : "";
  legend.replaceChildren(ends[0], bar, `${ends[1]}${tiles}`);
}

// The picture of the fabric, a pixel for each tile.
function drawPicture() {
  const name = COLOURINGS[state.colouring].picture;
  if (!name) { floorplan.picture.data = {url: [], x: [], y: [], w: [], h: []}; return; }
  const map = parts[floorplan.part][name];
  const levels = Uint8Array.from(atob(map.levels), (letter) => letter.charCodeAt(0));
  const canvas = element("canvas", {width: map.columns, height: map.rows});
  const context = canvas.getContext("2d");
  const image = context.createImageData(map.columns, map.rows);
  const rgb = palettes.viridis.map((colour) => [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16)));
  levels.forEach((level, tile) => image.data.set([...rgb[level], 255], 4 * tile));
  context.putImageData(image, 0, 0);
  const scale = Math.max(1, Math.floor(PICTURE_PIXELS / Math.max(map.columns, map.rows)));  // so that tiles keep their edges
  const large = element("canvas", {width: map.columns * scale, height: map.rows * scale});
  const pen = large.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(canvas, 0, 0, large.width, large.height);
  floorplan.picture.data = {url: [large.toDataURL()], x: [0], y: [0], w: [map.width], h: [map.height]};
}

// Names of kernels that have room for them at this zoom: upright where the whole name fits so, else along the longer side.
function drawLabels() {
  const {x_range: across, y_range: down, frame_width: width, frame_height: height} = floorplan.figure;
  const scaleX = width / (across.end - across.start), scaleY = height / (down.start - down.end);
  const data = {x: [], y: [], text: [], angle: [], colour: [], back: []};
  for (const k of floorplan.shown) {
    const wide = kernels.width[k] * scaleX, high = kernels.height[k] * scaleY;
    const room = (pixels) => Math.floor((pixels - 6) / 6.6);
    const upright = wide >= high || room(wide) >= kernels.name[k].length, letters = room(upright ? wide : high);
    if (Math.min(wide, high) < 13 || letters < Math.min(kernels.name[k].length, LEAST_LETTERS)) continue;
    const x = kernels.x[k] + kernels.width[k] / 2, y = kernels.y[k] + kernels.height[k] / 2;
    if (x < across.start || x > across.end || y < down.end || y > down.start) continue;
    const colouring = COLOURINGS[state.colouring];
    const pale = state.matches !== null && !state.matches.has(k);
    data.x.push(x); data.y.push(y); data.text.push(brief(kernels.name[k], letters)); data.angle.push(upright ? 0 : Math.PI / 2);
    data.back.push(colouring.picture ? "#00000080" : "#00000000");
    data.colour.push(colouring.picture ? "#ffffff" : pale ? themeColours().dim : readableOn(colouring.of(k)));
  }
  floorplan.labels.data = data;
}

const linksOf = (k) => {
  const found = {ins: [], outs: []};
  for (let link = 0; link < links.tensor.length; link++) {
    if (links.target[link] === k) found.ins.push(link);
    else if (links.source[link] === k) found.outs.push(link);
  }
  return found;
};

// Where the tensors of the selected kernel travel: along the middle lane of each route, with a dot where it ends, and on to the
// middle of the kernel at the other end, which is outlined; with dashes where it has its turn on these cores in another phase.
function drawFlows() {
  const flow = {xs: [], ys: [], colour: []}, heads = {x: [], y: [], colour: []}, ends = {left: [], right: [], top: [], bottom: [], colour: [], dash: []};
  const k = state.selected;
  const part = parts[floorplan.part];
  const here = k >= 0 && kernels.wafer[k] === part.wafer && kernels.phase[k] === part.phase;
  const outlineEnd = (end, colour) => {
    if (end < 0 || end === k || kernels.wafer[end] !== part.wafer) return;
    ends.left.push(kernels.x[end]); ends.right.push(kernels.x[end] + kernels.width[end]);
    ends.top.push(kernels.y[end]); ends.bottom.push(kernels.y[end] + kernels.height[end]);
    ends.colour.push(colour); ends.dash.push(kernels.phase[end] === part.phase ? [] : [6, 4]);
  };
  const add = (link, colour) => {
    if (links.wafer[link] !== part.wafer || links.phase[link] !== part.phase) return;
    for (const [, ...corners] of links.paths[link]) {
      const xs = [], ys = [];
      const middle = (end) => {
        if (end < 0 || end === k || kernels.wafer[end] !== part.wafer || kernels.phase[end] !== part.phase) return;
        xs.push(kernels.x[end] + kernels.width[end] / 2);
        ys.push(kernels.y[end] + kernels.height[end] / 2);
      };
      middle(links.source[link]);
      for (let at = 0; at < corners.length; at += 2) { xs.push(corners[at] + 0.5); ys.push(corners[at + 1] + 0.5); }
      heads.x.push(xs.at(-1)); heads.y.push(ys.at(-1)); heads.colour.push(colour);
      middle(links.target[link]);
      flow.xs.push(xs); flow.ys.push(ys); flow.colour.push(colour);
    }
  };
  if (here) {
    const {ins, outs} = linksOf(k);
    for (const link of ins) { add(link, "#0072B2"); outlineEnd(links.source[link], "#0072B2"); }
    for (const link of outs) { add(link, "#D55E00"); outlineEnd(links.target[link], "#D55E00"); }
  }
  floorplan.flows.data = flow;
  floorplan.heads.data = heads;
  floorplan.ends.data = ends;
  floorplan.chosen.data = here
    ? {left: [kernels.x[k]], right: [kernels.x[k] + kernels.width[k]], top: [kernels.y[k]], bottom: [kernels.y[k] + kernels.height[k]]}
    : {left: [], right: [], top: [], bottom: []};
}

function zoom(factor) {
  const {x_range: across, y_range: down} = floorplan.figure;
  const k = state.selected;
  const middleX = k >= 0 ? kernels.x[k] + kernels.width[k] / 2 : (across.start + across.end) / 2;
  const middleY = k >= 0 ? kernels.y[k] + kernels.height[k] / 2 : (down.start + down.end) / 2;
  const halfX = (across.end - across.start) / 2 / factor, halfY = (down.start - down.end) / 2 / factor;
  across.setv({start: middleX - halfX, end: middleX + halfX});
  down.setv({start: middleY + halfY, end: middleY - halfY});
}

function zoomReset() {
  floorplan.figure.x_range.setv({start: 0, end: report.columns});
  floorplan.figure.y_range.setv({start: report.rows, end: 0});
}

// The nearest kernel in a direction: the way across counts double.
function neighbour(k, dx, dy) {
  const centre = (each) => [kernels.x[each] + kernels.width[each] / 2, kernels.y[each] + kernels.height[each] / 2];
  const [x, y] = centre(k);
  return nearest(floorplan.shown, (each) => {
    const [toX, toY] = centre(each);
    const along = (toX - x) * dx + (toY - y) * dy, aside = Math.abs((toX - x) * dy) + Math.abs((toY - y) * dx);
    return along > 0 ? along + 2 * aside : Infinity;
  }, Infinity);
}
