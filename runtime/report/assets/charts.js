// Figures of the plotting library in the colours of the theme, and the charts below the floorplan.
const figures = [];

function themeColours() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(name).trim();
  return {text: of("--text"), dim: of("--dim"), page: of("--page"), panel: of("--panel"), line: of("--line"), outline: of("--outline"), mark: of("--mark"), accent: of("--accent")};
}

function paint(figure) {
  const colours = themeColours();
  figure.setv({background_fill_color: colours.page, border_fill_color: colours.page, outline_line_color: colours.line});
  for (const axis of [...figure.above, ...figure.below, ...figure.left, ...figure.right]) {
    axis.setv({axis_label_text_color: colours.text, major_label_text_color: colours.dim, axis_line_color: colours.line,
      major_tick_line_color: colours.line, minor_tick_line_color: null});
  }
  for (const grid of figure.center) {
    if ("grid_line_color" in grid) grid.grid_line_color = colours.line;
  }
  for (const repaint of figure.repaints) repaint(colours);
}

// A figure inside an element. `repaints` are called with the colours of a theme.
function makeFigure(id, options) {
  const figure = Bokeh.Plotting.figure({toolbar_location: null, min_border_right: 12, ...options});
  figure.repaints = [];
  for (const axis of [...figure.below, ...figure.left]) {
    axis.setv({axis_label_text_font_style: "normal", axis_label_text_font_size: "12px", major_label_text_font_size: "11px"});
  }
  figures.push(figure);
  figure.draw = () => { paint(figure); return Bokeh.Plotting.show(figure, document.getElementById(id)); };
  return figure;
}

const source = (data) => new Bokeh.ColumnDataSource({data});

// Rows of a label and a column of the data, which the library escapes; dark on white in both themes.
function addHover(figure, renderers, rows, more = {}) {
  const lines = rows.map(([label, text]) => `<tr><td style="color:#4a525a;padding-right:8px;vertical-align:top">${label}</td><td>${text}</td></tr>`);
  const tooltips = `<table style="background:#ffffff;color:#15191d;font:12px sans-serif;max-width:320px;padding:4px;overflow-wrap:anywhere">${lines.join("")}</table>`;
  figure.add_tools(new Bokeh.HoverTool({renderers, tooltips, ...more}));
}

function addPanAndZoom(figure, dimensions) {
  const wheel = new Bokeh.WheelZoomTool({dimensions, modifiers: {ctrl: true}});
  figure.add_tools(new Bokeh.PanTool({dimensions}), wheel, new Bokeh.ResetTool());
}

// A click on a chart selects the kernel under it.
function selectOnTap(figure, find) {
  figure.on_event("tap", (event) => {
    const found = find(event.x, event.y);
    if (found >= 0) select(found);
  });
}

const cycleTicks = () => new Bokeh.CustomJSTickFormatter({code: "return new Intl.NumberFormat('en-US', {notation: 'compact', maximumSignificantDigits: 4}).format(tick)"});

function drawStages() {
  const box = document.getElementById("stages");
  if (report.stages.length < 2) { box.remove(); return; }
  const LOOKS = {sample: "#56B4E9", load: "#D55E00", work: "#0072B2", crossing: "#CC79A7"};
  const rowName = (stage) => (stagesByWafer ? `wafer ${stage.wafer}` : partName(stage));
  const names = [...new Set(report.stages.map(rowName))];
  const figure = makeFigure("stages", {height: 70 + names.length * 20, sizing_mode: "stretch_width", tools: "",
    x_axis_label: "cycles", x_range: new Bokeh.Range1d({start: 0, end: lastCycle * 1.01}), y_range: new Bokeh.Range1d({start: names.length - 0.4, end: -0.6})});
  figure.yaxis.ticker = new Bokeh.FixedTicker({ticks: names.map((_, row) => row)});
  figure.yaxis.major_label_overrides = new Map(names.map((name, row) => [row, name]));
  figure.xaxis.formatter = cycleTicks();
  const bars = figure.hbar({y: {field: "row"}, left: {field: "start"}, right: {field: "end"}, height: 0.8, line_color: null, fill_color: {field: "colour"},
    source: source({row: report.stages.map((stage) => names.indexOf(rowName(stage))), start: report.stages.map((stage) => stage.start),
      end: report.stages.map((stage) => stage.end), what: report.stages.map((stage) => stage.what),
      colour: report.stages.map((stage) => LOOKS[stage.what]), part: report.stages.map((stage) => partName(stage))})});
  addHover(figure, [bars], [["", "@part: @what"], ["cycles", "@start{0,0} to @end{0,0}"]]);
  addPanAndZoom(figure, "width");
  figure.draw();
  const seen = Object.entries(LOOKS).filter(([what]) => report.stages.some((stage) => stage.what === what));
  document.getElementById("stages-legend").replaceChildren(...swatchLegend(seen));
}

const lastCycle = greatest([...kernels.end, ...report.stages.map((stage) => stage.end)], 1);
const MOST_STAGE_ROWS = 24;  // of phases that take turns: more of them share the row of their wafer
const stagesByWafer = parts.length > MOST_STAGE_ROWS;
const partName = (part) => `wafer ${part.wafer}, phase ${part.phase}`;

function timelineWords(last) {
  if (report.stages.some((stage) => stage.what !== "sample")) {
    return "One round of the phases, each with its batch: weights come in, the phase works on its samples, words for later phases leave. Below, the first sample of each.";
  }
  if (parts.some((part) => part.mode === "sequential")) {
    return `One sample at a time: kernels take turns on the region. The next sample follows ${whole.format(report.interval)} cycles later.`;
  }
  const underWay = whole.format(Math.max(1, Math.round(last / Math.max(report.interval, 1))));
  return `One sample through the empty pipeline, ${whole.format(last)} cycles from kernel to kernel. The next sample follows ${whole.format(report.interval)} cycles later, so that about ${underWay} are under way at once.`;
}

function drawTimeline() {
  const last = greatest(kernels.end, 1);
  const kindsLegend = document.getElementById("timeline-legend");
  kindsLegend.replaceChildren(...swatchLegend(COLOURINGS.kind.swatches()));
  const figure = makeFigure("timeline", {height: Math.max(180, Math.min(560, 90 + kernelCount * 9)), sizing_mode: "stretch_width", tools: "",
    x_axis_label: "cycles", y_axis_label: "kernels",
    x_range: new Bokeh.Range1d({start: 0, end: lastCycle * 1.01}), y_range: new Bokeh.Range1d({start: kernelCount - 0.4, end: -0.6})});
  figure.xaxis.formatter = cycleTicks();
  figure.yaxis.formatter = new Bokeh.NumeralTickFormatter({format: "0"});
  const bars = figure.hbar({y: {field: "rank"}, left: {field: "start"}, right: {field: "end"}, height: 0.8, line_color: null, fill_color: {field: "colour"},
    source: source({rank: rankOf, start: kernels.start, end: kernels.end.map((end, k) => Math.max(end, kernels.start[k] + last / 800)), name: kernels.name,
      kind: kernels.kind, stop: kernels.end, colour: kernels.kind.map((kind) => kindColours.get(kind))})});
  addHover(figure, [bars], [["kernel", "@name"], ["kind", "@kind"], ["cycles", "@start{0,0} to @stop{0,0}"]]);
  addPanAndZoom(figure, "both");
  markOn(figure, (mark) => figure.hbar({y: {field: "y"}, left: 0, right: lastCycle, height: 1, fill_alpha: 0.18, line_color: null, source: mark}),
    (k) => ({y: [rankOf[k]]}));
  selectOnTap(figure, (_, y) => byStart[Math.round(y)] ?? -1);
  figure.draw();
  document.getElementById("timeline-says").textContent = `${timelineWords(last)} Ctrl and scroll zoom; a click selects.`;
}

// A mark that shows the selected kernel on a chart.
const marks = [];
function markOn(figure, add, place) {
  const empty = Object.fromEntries(Object.keys(place(0)).map((name) => [name, []]));
  const data = source(empty);
  const renderer = add(data);
  figure.repaints.push((colours) => {
    const part = renderer.glyph.fill_color?.value === null ? "line_color" : "fill_color";
    renderer.glyph[part] = {value: colours.mark};
  });
  marks.push((k) => { data.data = k < 0 ? empty : place(k); });
}

function drawMemory() {
  const order = Array.from({length: kernelCount}, (_, k) => k);
  const stacks = Object.keys(LEDGER).filter((stack) => kernels[stack].some((bytes) => bytes > 0));
  const columns = {index: order, name: kernels.name, total: order.map((k) => kibibytes(bytesOf(k)))};
  let below = order.map(() => 0);
  for (const stack of stacks) {
    columns[`${stack}_from`] = below;
    below = below.map((bytes, k) => bytes + kernels[stack][k] / 1024);
    columns[`${stack}_to`] = below;
    columns[stack] = kernels[stack].map(kibibytes);
  }
  const sram = report.sram_bytes / 1024;
  document.getElementById("memory-says").textContent = report.residents.map((each) => `On the fullest core of wafer ${each.wafer} weights and states of all its kernels take ${kibibytes(each.resident)}, `
    + `what the turn with most of it works with ${kibibytes(each.working)}, code ${kibibytes(each.code)}: ${kibibytes(each.resident + each.working + each.code)} of ${kibibytes(report.sram_bytes)}.`).join(" ");
  const figure = makeFigure("memory", {height: 280, sizing_mode: "stretch_width", tools: "", x_axis_label: "kernels, in the order of the plan", y_axis_label: "KiB",
    x_range: new Bokeh.Range1d({start: -0.7, end: kernelCount - 0.3}), y_range: new Bokeh.Range1d({start: 0, end: greatest(below, sram) * 1.05})});
  figure.xaxis.formatter = new Bokeh.NumeralTickFormatter({format: "0"});
  const data = source(columns);
  const bars = stacks.map((stack) => figure.vbar({x: {field: "index"}, bottom: {field: `${stack}_from`}, top: {field: `${stack}_to`}, width: 0.85,
    fill_color: LEDGER[stack], line_color: null, source: data}));
  const limit = new Bokeh.Span({location: sram, dimension: "width", line_dash: "dashed", line_width: 2});
  figure.add_layout(limit);
  figure.repaints.push((colours) => { limit.line_color = colours.mark; });
  addHover(figure, bars, [["kernel", "@name"], ["total", "@total"], ...stacks.map((stack) => [stack, `@${stack}`])]);
  addPanAndZoom(figure, "width");
  markOn(figure, (mark) => figure.vbar({x: {field: "x"}, bottom: 0, top: sram, width: 1, fill_alpha: 0.18, line_color: null, source: mark}), (k) => ({x: [k]}));
  selectOnTap(figure, (x) => (Math.round(x) in kernels.name ? Math.round(x) : -1));
  figure.draw();
  document.getElementById("memory-legend").replaceChildren(...swatchLegend(stacks.map((stack) => [stack, LEDGER[stack]])), `dashed: all ${kibibytes(report.sram_bytes)} of a core`);
}

function drawRoofline() {
  const drawn = Array.from({length: kernelCount}, (_, k) => k).filter((k) => kernels.intensity[k] > 0 && kernels.performance[k] > 0);
  if (!drawn.length) { document.getElementById("roofline").textContent = "No kernel computes."; return; }
  const of = (column) => drawn.map((k) => kernels[column][k]);
  const roofs = [...new Set(kernels.roof)];
  const rate = report.link_words_per_cycle;
  const least = -greatest(of("intensity").map((each) => -each), -Infinity) / 2, most = greatest(of("intensity"), 2 * greatest(roofs, 0) / rate) * 2;
  const lowest = -greatest(of("performance").map((each) => -each), -Infinity) / 2;
  const figure = makeFigure("roofline", {height: 380, sizing_mode: "stretch_width", tools: "", x_axis_type: "log", y_axis_type: "log",
    x_axis_label: "operations of a core for each word through its ramp", y_axis_label: "operations of a core in a cycle",
    x_range: new Bokeh.Range1d({start: least, end: most}), y_range: new Bokeh.Range1d({start: lowest, end: 2 * greatest(roofs, 0)})});
  for (const axis of [figure.xaxis, figure.yaxis]) axis.formatter = new Bokeh.CustomJSTickFormatter({code: "return tick >= 1 ? tick.toLocaleString('en-US') : String(Number(tick.toPrecision(2)))"});
  for (const roof of roofs) {
    const start = Math.min(Math.max(least, lowest / rate), roof / rate);
    const line = figure.line({x: [start, roof / rate, most], y: [start * rate, roof, roof], line_width: 1.5});
    figure.repaints.push((colours) => { line.glyph.line_color = {value: colours.dim}; });
  }
  const dots = figure.scatter({x: {field: "x"}, y: {field: "y"}, size: kernelCount > 500 ? 6 : 9, fill_color: {field: "colour"}, fill_alpha: 0.8, line_color: null,
    source: source({x: of("intensity"), y: of("performance"), name: of("name"), kind: of("kind"), operations: of("operations").map((each) => short.format(each)),
      share: drawn.map((k) => percent(kernels.performance[k] / kernels.roof[k])), colour: of("kind").map((kind) => kindColours.get(kind))})});
  addHover(figure, [dots], [["kernel", "@name"], ["kind", "@kind"], ["operations a sample", "@operations"], ["of its lanes", "@share"]]);
  addPanAndZoom(figure, "both");
  markOn(figure, (mark) => figure.scatter({x: {field: "x"}, y: {field: "y"}, size: 17, fill_color: null, line_width: 3, source: mark}),
    (k) => ({x: [kernels.intensity[k]], y: [kernels.performance[k]]}));
  selectOnTap(figure, (x, y) => nearest(drawn, (k) => Math.hypot(Math.log(kernels.intensity[k] / x), Math.log(kernels.performance[k] / y)), 0.25));
  figure.draw();
  document.getElementById("roofline-legend").replaceChildren(...swatchLegend(COLOURINGS.kind.swatches()));
}

function nearest(numbers, distance, limit) {
  let best = -1, least = limit;
  for (const k of numbers) {
    const found = distance(k);
    if (found < least) { best = k; least = found; }
  }
  return best;
}
