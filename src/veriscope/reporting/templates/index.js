"use strict";
(function () {
  const table = document.querySelector(".lines");
  if (!table) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row, order) => ({
    row, order,
    text: row.textContent.toLowerCase(),
    group: row.dataset.group,
    name: row.querySelector(".name").textContent.toLowerCase(),
    lr: row.dataset.lr === "" ? -Infinity : Number(row.dataset.lr),
    headline: row.querySelector(".says").textContent,
    declared: row.querySelector(".declared").textContent,
  }));
  const search = document.getElementById("search");
  const boxes = Array.from(document.querySelectorAll(".tally input"));
  const found = document.getElementById("found");
  function filter() {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const groups = new Set(boxes.filter((box) => box.checked).map((box) => box.value));
    let count = 0;
    for (const one of rows) {
      const shown = groups.has(one.group) && wanted.every((word) => one.text.includes(word));
      one.row.hidden = !shown;
      one.row.classList.toggle("hidden", !shown);
      count += shown;
    }
    found.textContent = count.toLocaleString("en") + " of " + rows.length.toLocaleString("en") + " shown";
  }
  let timer;
  search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(filter, 120); });
  boxes.forEach((box) => box.addEventListener("change", filter));
  table.querySelectorAll("thead button").forEach((button) => {
    button.addEventListener("click", () => {
      const head = button.parentElement;
      const key = button.dataset.key;
      const falling = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : key === "lr";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const sign = falling ? -1 : 1;
      const collator = new Intl.Collator("en", { numeric: true });
      const compare = key === "lr" || key === "order"
        ? (a, b) => (a[key] === b[key] ? 0 : a[key] < b[key] ? -1 : 1)
        : (a, b) => collator.compare(a[key], b[key]);
      const sorted = rows.slice().sort((a, b) => sign * compare(a, b) || a.order - b.order);
      const fragment = document.createDocumentFragment();
      sorted.forEach((one) => fragment.append(one.row));
      body.append(fragment);
    });
  });
  document.querySelectorAll(".needs-script").forEach((element) => element.classList.remove("hidden"));
  filter();
})();
