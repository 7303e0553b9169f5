// The picture: zoom to its pixels, move, lay a map over it, and draw a curtain between the two.
import { ready, say } from "./start.js";

const STEP = 1.5; // a zoom step
const NUDGE = 0.15; // of the stage, a key press
const CLOSEST = 32; // screen pixels a picture pixel
const CRISP = 2; // from so many screen pixels a picture pixel its squares are shown

class Viewer {
  constructor(root) {
    this.root = root;
    this.stage = root.querySelector("[data-stage]");
    this.images = [...root.querySelectorAll(".stage img")];
    this.photos = this.images.filter((image) => image.classList.contains("photo"));
    this.width = Number(root.dataset.width);
    this.height = Number(root.dataset.height);
    this.scale = 1; // of the picture fitted into the stage
    this.x = this.y = 0; // screen pixels that the stage's corner is moved by
    this.stage.tabIndex = 0;
    this.listen();
    this.maps();
    this.draw();
  }

  fitted() { // screen pixels a picture pixel, when fitted
    return Math.min(this.stage.clientWidth / this.width, this.stage.clientHeight / this.height);
  }

  zoom(scale, atX = this.stage.clientWidth / 2, atY = this.stage.clientHeight / 2) {
    const most = Math.max(1, CLOSEST / this.fitted());
    const next = Math.min(most, Math.max(1, scale));
    this.x = atX - ((atX - this.x) * next) / this.scale;
    this.y = atY - ((atY - this.y) * next) / this.scale;
    this.scale = next;
    this.draw();
  }

  move(byX, byY) {
    this.x += byX;
    this.y += byY;
    this.draw();
  }

  draw() {
    const { clientWidth: wide, clientHeight: high } = this.stage;
    const limit = (value, size, span) => { // the picture's edge never comes further in than the stage's
      const margin = (size - span) / 2;
      const drawn = span * this.scale;
      if (drawn <= size) return (size - drawn) / 2 - margin * this.scale;
      return Math.min(-margin * this.scale, Math.max(size - drawn - margin * this.scale, value));
    };
    const fit = this.fitted();
    this.x = limit(this.x, wide, this.width * fit);
    this.y = limit(this.y, high, this.height * fit);
    const moved = `translate(${this.x}px, ${this.y}px) scale(${this.scale})`;
    this.images.forEach((image) => { image.style.transform = moved; });
    const each = fit * this.scale;
    this.stage.classList.toggle("zoomed", this.scale > 1.001);
    this.stage.classList.toggle("crisp", each >= CRISP && this.scale > 1.001);
    if (this.scale > 1.001) this.sharpen();
    const value = this.root.querySelector("[data-zoom-value]");
    say(value, this.scale > 1.001 ? `${Math.round(each * 100)} %` : "fit");
  }

  sharpen() { // the preview is smaller than the picture: take all its pixels once they are looked at
    const { pixels } = this.root.dataset;
    if (!pixels || this.sharp) return;
    this.sharp = true;
    const whole = new Image();
    whole.addEventListener("load", () => this.photos.forEach((photo) => { photo.src = pixels; }));
    whole.src = pixels;
  }

  listen() {
    const wide = () => this.stage.clientWidth;
    const high = () => this.stage.clientHeight;
    const acts = {
      "+": () => this.zoom(this.scale * STEP),
      "=": () => this.zoom(this.scale * STEP),
      "-": () => this.zoom(this.scale / STEP),
      "0": () => this.zoom(1),
      "1": () => this.zoom(1 / this.fitted()),
      ArrowLeft: () => this.move(wide() * NUDGE, 0),
      ArrowRight: () => this.move(-wide() * NUDGE, 0),
      ArrowUp: () => this.move(0, high() * NUDGE),
      ArrowDown: () => this.move(0, -high() * NUDGE),
    };
    this.stage.addEventListener("keydown", (event) => {
      const act = acts[event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.key.startsWith("Arrow") && this.scale <= 1.001) return; // the page scrolls
      event.preventDefault();
      act();
    });
    const zooms = { in: acts["+"], out: acts["-"], fit: acts["0"], pixels: acts["1"] };
    this.root.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", zooms[button.dataset.zoom]));
    const moves = { left: acts.ArrowLeft, right: acts.ArrowRight, up: acts.ArrowUp, down: acts.ArrowDown };
    this.root.querySelectorAll("[data-move]").forEach((button) => button.addEventListener("click", moves[button.dataset.move]));
    this.stage.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !this.stage.matches(":focus")) return; // the page scrolls
      event.preventDefault();
      const box = this.stage.getBoundingClientRect();
      this.zoom(this.scale * Math.exp(-event.deltaY / 300), event.clientX - box.left, event.clientY - box.top);
    }, { passive: false });
    this.stage.addEventListener("dblclick", (event) => {
      const box = this.stage.getBoundingClientRect();
      this.zoom(this.scale > 1.001 ? 1 : Math.max(2.5, 1 / this.fitted()), event.clientX - box.left, event.clientY - box.top);
    });
    this.pointers();
    new ResizeObserver(() => this.draw()).observe(this.stage);
  }

  pointers() { // one pointer moves, two pinch
    const held = new Map();
    const span = () => {
      const [a, b] = [...held.values()];
      return { apart: Math.hypot(a.x - b.x, a.y - b.y), x: (a.x + b.x) / 2, y: (a.y + b.y) / 2 };
    };
    this.stage.addEventListener("pointerdown", (event) => {
      if (event.target.closest("[data-line]")) return;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (this.scale > 1.001 || held.size > 1) this.stage.setPointerCapture(event.pointerId);
      this.stage.classList.add("dragging");
    });
    this.stage.addEventListener("pointermove", (event) => {
      const was = held.get(event.pointerId);
      if (!was) return;
      const before = held.size === 2 ? span() : null;
      held.set(event.pointerId, { x: event.clientX, y: event.clientY });
      if (before) {
        const after = span();
        const box = this.stage.getBoundingClientRect();
        this.zoom((this.scale * after.apart) / Math.max(1, before.apart), after.x - box.left, after.y - box.top);
      } else if (this.scale > 1.001) {
        this.move(event.clientX - was.x, event.clientY - was.y);
      }
    });
    const end = (event) => { held.delete(event.pointerId); this.stage.classList.toggle("dragging", held.size > 0); };
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) this.stage.addEventListener(name, end);
  }

  maps() {
    const over = this.root.querySelector("[data-over]");
    if (!over) return;
    const [opacity, curtain, at] = ["opacity", "curtain", "curtain-place"].map((id) => document.getElementById(id));
    const line = this.root.querySelector("[data-line]");
    const picks = [...this.root.querySelectorAll(".pick")];
    const paint = () => {
      const picked = picks.find((pick) => pick.checked)?.id;
      over.querySelectorAll(".heat").forEach((heat) => {
        heat.style.opacity = heat.dataset.pick === picked ? opacity.value / 100 : 0;
        if (heat.dataset.pick === picked) heat.loading = "eager";
      });
      const drawn = curtain.checked && picked !== "map-0";
      over.style.clipPath = drawn ? `inset(0 0 0 ${at.value}%)` : "none";
      line.classList.toggle("hidden", !drawn);
      line.style.left = `${at.value}%`;
      this.root.querySelector("[data-curtain-label]").classList.toggle("hidden", !curtain.checked);
      say(this.root.querySelector("[data-opacity-value]"), `${opacity.value} %`);
      say(this.root.querySelector("[data-curtain-value]"), `${at.value} %`);
      this.root.querySelectorAll("[data-caption]").forEach((text) => text.classList.toggle("hidden", text.dataset.caption !== picked));
    };
    [opacity, at].forEach((slider) => slider.addEventListener("input", paint));
    [curtain, ...picks].forEach((control) => control.addEventListener("change", paint));
    const drag = (event) => {
      if (!line.hasPointerCapture(event.pointerId)) return;
      const box = this.stage.getBoundingClientRect();
      at.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      paint();
    };
    line.addEventListener("pointerdown", (event) => { event.preventDefault(); line.setPointerCapture(event.pointerId); });
    line.addEventListener("pointermove", drag);
    document.querySelectorAll("[data-shows]").forEach((button) => {
      button.classList.remove("hidden");
      button.addEventListener("click", () => {
        const pick = document.getElementById(button.dataset.shows);
        pick.checked = true;
        paint();
        this.root.scrollIntoView({ block: "start" });
        pick.focus({ preventScroll: true });
      });
    });
    paint();
  }
}

ready();
document.querySelectorAll("[data-viewer]").forEach((root) => new Viewer(root));
