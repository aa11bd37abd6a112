for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], start = [...body.rows], heads = [...table.querySelectorAll("th")];
  const value = (row, i) => { const s = row.cells[i].textContent.trim(); return heads[i].classList.contains("name") ? s : parseFloat(s); };
  const absent = v => typeof v === "number" && isNaN(v);
  heads.forEach((th, i) => th.firstElementChild.addEventListener("click", () => {
    const was = th.getAttribute("aria-sort"), now = was === "ascending" ? "descending" : was === "descending" ? null : "ascending";
    heads.forEach(h => h.removeAttribute("aria-sort"));
    if (now) th.setAttribute("aria-sort", now);
    const sign = now === "descending" ? -1 : 1;
    const order = (a, b) => { const x = value(a, i), y = value(b, i); return absent(x) || absent(y) ? absent(x) - absent(y) : x < y ? -sign : x > y ? sign : 0; };
    body.append(...(now ? [...start].sort(order) : start)); // what has no number stays last either way
  }));
}
const form = document.getElementById("filter"), rows = [...document.querySelectorAll(".rows tbody tr")], others = [...document.querySelectorAll("[data-attack]")].filter(e => !e.closest(".rows"));
function filter() {
  const words = form.elements.text.value.toLowerCase().split(/\s+/);
  const fits = e => ["attack", "control", "metric"].every(k => !form.elements[k].value || !(k in e.dataset) || e.dataset[k] === form.elements[k].value);
  for (const row of rows) row.hidden = !fits(row) || !words.every(w => row.textContent.toLowerCase().includes(w));
  for (const other of others) other.hidden = !fits(other);
  for (const s of document.querySelectorAll(".rows")) s.hidden = ![...s.querySelectorAll("tbody tr")].some(r => !r.hidden);
  form.querySelector("output").textContent = `${rows.filter(r => !r.hidden).length} of ${rows.length} rows`;
}
form.hidden = false;
for (const kind of ["input", "change"]) form.addEventListener(kind, filter);
form.addEventListener("submit", event => event.preventDefault());
form.addEventListener("reset", () => setTimeout(filter));
filter();
