// What is said of the plan and of the selected kernel, in words and tables.
function showFacts() {
  const list = document.getElementById("facts");
  for (const [label, number, more] of report.facts) {
    list.append(element("div", {}, element("dt", {}, label), element("dd", {}, number), element("dd", {}, more)));
  }
}

function showDetails() {
  const box = document.getElementById("details");
  const k = state.selected;
  if (k < 0) {
    box.replaceChildren(element("h3", {}, "No kernel selected"),
      element("p", {class: "small"}, "Click a rectangle, a bar, a dot or a name: its numbers are written here, and its tensors are drawn on the floorplan."));
    return;
  }
  const rows = [
    ["kind", kernels.kind[k]], ["wafer, phase", `${kernels.wafer[k]}, ${kernels.phase[k]}`], ["shape", shapeOf(k)], ["cores", whole.format(coresOf(k))],
    ["split", kernels.split[k]], ["cycles", `${whole.format(kernels.total[k])}, ${percent(kernels.total[k] / intervalOf(k))} of the interval`],
    ["arithmetic", whole.format(kernels.compute[k])], ["memory ports", whole.format(kernels.memory[k])],
    ["communication", whole.format(kernels.communication[k])], ["words in and out", whole.format(kernels.transfer[k])], ["bound by", BOUND_NAMES[kernels.bound[k]]],
    ["memory", `${kibibytes(bytesOf(k))} of ${kibibytes(report.sram_bytes)}`], 
    ...report.ledger.filter((entry) => kernels[entry][k]).map((entry) => [entry, kibibytes(kernels[entry][k])]),
    ["a sample", `cycle ${whole.format(kernels.start[k])} to ${whole.format(kernels.end[k])}`],
  ];
  const {ins, outs} = linksOf(k);
  box.replaceChildren(element("h3", {}, kernels.name[k]),
    element("dl", {}, ...rows.flatMap(([label, text]) => [element("dt", {}, label), element("dd", {}, text)])),
    element("h3", {class: "in"}, "Tensors in"), linkList(k, ins, "source", "from"), element("h3", {class: "out"}, "Tensors out"), linkList(k, outs, "target", "to"),
    element("h3", {}, `Operators (${kernels.operators[k].length})`), element("p", {class: "small"}, operatorsOf(k, 40)));
}

function linkList(self, found, end, word) {
  if (!found.length) return element("p", {class: "small"}, "none");
  const items = found.slice(0, 40).map((link) => {
    const other = links[end][link];
    const name = other < 0 ? "host" : element("button", {type: "button", class: "link", title: kernels.name[other], onclick: () => select(other)}, brief(kernels.name[other], 44));
    const elsewhere = other >= 0 && (kernels.wafer[other] !== kernels.wafer[self] || kernels.phase[other] !== kernels.phase[self]);
    const colours = [...new Set(links.paths[link].map(([colour]) => colour))];
    return element("li", {}, briefly(links.tensor[link], 44), ` ${word} `, name, elsewhere ? ` (${partName({wafer: kernels.wafer[other], phase: kernels.phase[other]})})` : "",
      `: ${whole.format(links.words[link])} words${links.lanes[link] ? `, ${whole.format(links.lanes[link])} lane${links.lanes[link] === 1 ? "" : "s"}` : ""}${colours.length ? `, colour ${colours.join(", ")}` : ""}, ${whole.format(links.cycles[link])} cycles`);
  });
  if (found.length > 40) items.push(element("li", {}, `and ${found.length - 40} more`));
  return element("ul", {}, ...items);
}

function showLimits() {
  document.getElementById("room").textContent = report.room;
  const numbers = new Map(kernels.name.map((name, k) => [name, k]));
  const list = document.getElementById("limits");
  for (const limit of report.limits) {
    const k = limit.kind === "kernel" || limit.kind === "buffers" ? numbers.get(limit.name) : undefined;
    const text = brief(limit.name, 60);
    const name = k === undefined ? briefly(limit.name, 60) : element("button", {type: "button", class: "link", title: limit.name, onclick: () => select(k)}, text);
    list.append(element("li", {}, element("div", {class: "name"}, limit.name.includes(limit.kind) ? "" : `${limit.kind} `, name, limit.alike ? ` and ${whole.format(limit.alike)} alike` : ""),
      element("div", {class: "number"}, limit.cycles ? `${whole.format(limit.cycles)} cycle${limit.cycles === 1 ? "" : "s"}` : ""), element("div", {}, limit.reason), element("div", {}, limit.advice)));
  }
}

function showParts() {
  const body = document.querySelector("#parts tbody");
  const held = new Map();  // kernels of each row; turns of a wafer share an interval and a row
  const rowOf = (wafer, phase, mode) => (mode === "sequential" ? `${wafer}` : `${wafer}, ${phase}`);
  kernels.name.forEach((_, k) => {
    const {wafer, phase, mode} = parts[partOf(kernels.wafer[k], kernels.phase[k])], row = rowOf(wafer, phase, mode);
    held.set(row, (held.get(row) ?? 0) + 1);
  });
  const rows = new Map();
  for (const part of parts) {
    const row = rowOf(part.wafer, part.phase, part.mode);
    rows.set(row, {part, last: part.phase, first: rows.get(row)?.first ?? part.phase});
  }
  for (const [row, {part, first, last}] of rows) {
    const cells = [held.get(row) ?? 0, part.cores, part.interval, part.placed, part.bound].map((number) => element("td", {class: "number"}, whole.format(number)));
    body.append(element("tr", {}, element("td", {}, first === last ? `${part.wafer}, ${first}` : `${part.wafer}, ${first} to ${last}`), element("td", {}, part.mode), ...cells,
      element("td", {class: "number"}, part.bound ? percent(part.placed / part.bound - 1) : "-")));
  }
  if (!report.alternatives.length) return;
  const others = report.alternatives.map((each) => `${each.mode} on ${each.wafers} wafer${each.wafers > 1 ? "s" : ""}: ${each.interval === null
    ? "does not fit" : `interval ${whole.format(each.interval)}, latency ${whole.format(each.latency)} cycles`} (${each.reason})`);
  document.getElementById("alternatives").replaceChildren("Other ways to execute it that were weighed:", element("ul", {}, ...others.map((each) => element("li", {}, each))));
}

function showNotes() {
  const notes = [...report.notes, ...report.host_operators.map((each) => `${each.name} (${each.operator}) runs on the host: ${each.reason}`)];
  if (report.fabric === "full") notes.push("Colours are those that routers hold.");
  if (parts.some((part) => part.followed)) notes.push("Link traffic is counted word by word along the circuits of links, exchanges and collectives: of each core its busiest port to a neighbour.");
  if (parts.some((part) => !part.followed)) notes.push(report.fabric === "lanes"
    ? "Link traffic and colours are those of lanes between rectangles; words of a link are spread evenly over its lanes."
    : "Some circuits cannot be followed, see wsec check-plan: there link traffic is that of lanes between rectangles, spread evenly.");
  document.getElementById("notes").replaceChildren(...notes.map((note) => element("li", {}, note)));
  const versions = Object.entries(report.versions).map(([name, version]) => `${name} ${version}`).join(", ");
  document.getElementById("versions").textContent = `Cycles are of an analytic model. Plan made with ${versions}. Drawn by Bokeh ${Bokeh.version}.`;
}
