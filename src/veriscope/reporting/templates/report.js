"use strict";
(function () {
  const byId = (id) => document.getElementById(id);
  const slider = byId("opacity");
  const heats = document.querySelectorAll(".heat");
  function paint() {
    heats.forEach((heat) => {
      heat.style.opacity = byId(heat.dataset.pick).checked ? slider.value / 100 : 0;
    });
    byId("opacity-value").textContent = slider.value + " %";
  }
  if (slider) {
    slider.addEventListener("input", paint);
    document.querySelectorAll(".pick").forEach((pick) => pick.addEventListener("change", paint));
    document.querySelectorAll("[data-shows]").forEach((button) => {
      button.classList.remove("hidden");
      button.addEventListener("click", () => {
        const pick = byId(button.dataset.shows);
        pick.checked = true;
        paint();
        byId("picture").scrollIntoView();
        pick.focus({ preventScroll: true });
      });
    });
    paint();
  }
  const save = byId("save-json");
  save.classList.remove("hidden");
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([byId("report").textContent], { type: "application/json" }));
    link.download = "report.json";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
})();
