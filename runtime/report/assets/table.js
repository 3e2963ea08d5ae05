// The kernels as a table: the floorplan in words, to sort, to filter, and page by page.
const PAGE = 100;
const COLUMNS = [
  ["kernel", (k) => kernels.name[k], "name"], ["kind", (k) => kernels.kind[k], ""], ["operators", (k) => operatorsOf(k, 2), "name"],
  ["wafer, phase", (k) => `${kernels.wafer[k]}, ${kernels.phase[k]}`, ""], ["columns x rows", (k) => `${kernels.width[k]} x ${kernels.height[k]}`, "number", coresOf],
  ["at", (k) => `${kernels.x[k]}, ${kernels.y[k]}`, "number", (k) => kernels.x[k] * 65536 + kernels.y[k]], ["split", (k) => kernels.split[k], ""],
  ["memory", (k) => kibibytes(bytesOf(k)), "number", bytesOf], ["cycles", (k) => whole.format(kernels.total[k]), "number", (k) => kernels.total[k]],
  ["of interval", (k) => percent(kernels.total[k] / intervalOf(k)), "number", (k) => kernels.total[k] / intervalOf(k)],
  ["bound by", (k) => BOUND_NAMES[kernels.bound[k]], ""],
];
const table = {column: -1, falling: false, page: 0, order: []};

function makeTable() {
  const head = document.querySelector("#kernels thead tr");
  COLUMNS.forEach(([title, , look], column) => {
    head.append(element("th", {scope: "col", class: look === "number" ? "number" : null},
      element("button", {type: "button", onclick: () => sortBy(column)}, title)));
  });
  document.getElementById("page-before").addEventListener("click", () => { table.page -= 1; fillTable(); });
  document.getElementById("page-after").addEventListener("click", () => { table.page += 1; fillTable(); });
}

function sortBy(column) {
  table.falling = table.column === column ? !table.falling : COLUMNS[column][2] === "number";
  table.column = column;
  table.page = 0;
  orderTable();
}

function orderTable() {
  const order = Array.from({length: kernelCount}, (_, k) => k).filter((k) => state.matches === null || state.matches.has(k));
  if (table.column >= 0) {
    const [, text, , number] = COLUMNS[table.column];
    const value = number ?? text, sign = table.falling ? -1 : 1;
    order.sort((a, b) => { const x = value(a), y = value(b); return x < y ? -sign : x > y ? sign : a - b; });
  }
  table.order = order;
  document.querySelectorAll("#kernels th").forEach((cell, column) => {
    cell.setAttribute("aria-sort", column === table.column ? (table.falling ? "descending" : "ascending") : "none");
  });
  fillTable();
}

function fillTable() {
  const pages = Math.max(1, Math.ceil(table.order.length / PAGE));
  table.page = Math.max(0, Math.min(table.page, pages - 1));
  const rows = table.order.slice(table.page * PAGE, (table.page + 1) * PAGE).map((k) => {
    const cells = COLUMNS.map(([, text, look], column) => element("td", {class: look || null},
      column === 0 ? element("button", {type: "button", title: text(k), onclick: () => select(k)}, brief(text(k), 48)) : text(k)));
    return element("tr", {class: k === state.selected ? "chosen" : null, "data-kernel": k}, ...cells);
  });
  document.querySelector("#kernels tbody").replaceChildren(...rows);
  document.getElementById("pages").hidden = pages === 1;
  document.getElementById("page-says").textContent = `page ${table.page + 1} of ${pages}`;
  document.getElementById("page-before").disabled = table.page === 0;
  document.getElementById("page-after").disabled = table.page === pages - 1;
  document.getElementById("table-says").textContent = `${whole.format(table.order.length)} of ${whole.format(kernelCount)} kernels. A name selects the kernel; a title sorts.`;
}

function markRow() {
  for (const row of document.querySelectorAll("#kernels tbody tr")) row.classList.toggle("chosen", Number(row.dataset.kernel) === state.selected);
}
