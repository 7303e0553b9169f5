"use strict";
document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0];
  const value = (row, place) => {
    const cell = row.cells[place];
    const given = cell.dataset.v;
    if (given === undefined) return cell.textContent.trim().toLowerCase();
    return given === "" ? null : Number(given);
  };
  Array.from(table.tHead.rows[0].cells).forEach((head, place) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const first = body.rows.length ? value(body.rows[0], place) : "";
      const falling = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") === "ascending" : typeof first !== "string";
      Array.from(table.tHead.rows[0].cells).forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", falling ? "descending" : "ascending");
      const sign = falling ? -1 : 1;
      const rows = Array.from(body.rows, (row, order) => ({ row, order, key: value(row, place) }));
      rows.sort((a, b) => {
        if (a.key === null || b.key === null) return (a.key === null) - (b.key === null) || a.order - b.order;
        return sign * (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) || a.order - b.order;
      });
      body.append(...rows.map((one) => one.row));
    });
  });
});
