// The map viewer: two layers with a line between them, a year, zoom and pan, and what lies under the pointer.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("viewer-data").textContent);
  const byId = (id) => document.getElementById(id);
  const stage = byId("stage");
  const layers = new Map(data.layers.map((layer) => [layer.id, layer]));
  const sides = ["left", "right"].map((name) => ({
    name,
    select: byId(`${name}-layer`),
    canvas: byId(`${name}-canvas`),
    badge: byId(`${name}-badge`),
    values: null,
    source: null,
  }));
  const view = { year: 0, split: 0.5, zoom: 1, x: 0, y: 0, beside: false, alone: null };
  const nothing = 255;
  const decoded = new Map();

  // ---- pictures -------------------------------------------------------------------------------------------------

  const legendOf = (kind) => (kind === "class" ? data.classes : kind === "changes" ? data.changes : null);

  function pictureOf(layer) {
    const year = data.years[view.year];
    return layer.images.all ?? layer.images[year] ?? null;
  }

  // A picture decoded once: its pixels, and for categories the place of each pixel's colour in the legend.
  function decode(uri, kind) {
    if (!decoded.has(uri)) {
      decoded.set(uri, new Promise((resolve, reject) => {
        const image = new Image();
        image.onload = () => {
          const canvas = document.createElement("canvas");
          canvas.width = data.width;
          canvas.height = data.height;
          const context = canvas.getContext("2d", { willReadFrequently: true });
          context.drawImage(image, 0, 0);
          const pixels = context.getImageData(0, 0, data.width, data.height);
          resolve({ pixels, values: categories(pixels, legendOf(kind)) });
        };
        image.onerror = reject;
        image.src = uri;
      }));
    }
    return decoded.get(uri);
  }

  function categories(pixels, legend) {
    if (!legend) return null;
    const places = new Map(legend.map((entry, i) => [parseInt(entry.colour.slice(1), 16), i]));
    const words = pixels.data;
    const values = new Uint8Array(words.length / 4).fill(nothing);
    for (let i = 0, p = 0; p < values.length; i += 4, p++) {
      if (words[i + 3] === 0) continue;
      values[p] = places.get((words[i] << 16) | (words[i + 1] << 8) | words[i + 2]) ?? nothing;
    }
    return values;
  }

  async function draw(side) {
    const layer = layers.get(side.select.value);
    const uri = pictureOf(layer);
    side.badge.textContent = layer.images.all || !uri ? layer.label : `${layer.label} · ${data.years[view.year]}`;
    side.canvas.classList.toggle("smooth", layer.kind === "photo" || layer.kind === "quantity");
    side.source = uri;
    const context = side.canvas.getContext("2d");
    if (!uri) {
      side.values = null;
      side.badge.textContent += ` · no map of ${data.years[view.year]}`;
      context.clearRect(0, 0, data.width, data.height);
      return;
    }
    const { pixels, values } = await decode(uri, layer.kind);
    if (side.source !== uri) return;
    side.values = values;
    context.putImageData(view.alone === null || layer.kind !== "class" ? pixels : onlyOne(pixels, values), 0, 0);
  }

  // The chosen class in its colour, everything else pale.
  function onlyOne(pixels, values) {
    const copy = new ImageData(new Uint8ClampedArray(pixels.data), pixels.width, pixels.height);
    for (let p = 0; p < values.length; p++) if (values[p] !== view.alone) copy.data[4 * p + 3] *= 0.12;
    return copy;
  }

  const redraw = () => { sides.forEach(draw); legends(); };

  // ---- legends --------------------------------------------------------------------------------------------------

  function legends() {
    const box = byId("legends");
    box.replaceChildren();
    const shown = sides.map((side) => layers.get(side.select.value));
    if (shown.some((layer) => layer.kind === "class")) box.append(classLegend());
    if (shown.some((layer) => layer.kind === "changes")) box.append(plainLegend(data.changes));
    for (const name of new Set(shown.filter((layer) => layer.kind === "quantity").map((layer) => layer.id.split("/")[0]))) {
      const ramp = data.ramps[name];
      const line = element("div", "ramp");
      const bar = element("i");
      bar.style.background = `linear-gradient(90deg, ${ramp.stops.join(",")})`;
      line.append(element("span", "", ramp.ends[0]), bar, element("span", "", ramp.ends[1]));
      box.append(line);
    }
  }

  function classLegend() {
    const list = element("div", "class-legend");
    data.classes.forEach((entry, i) => {
      const button = element("button", "chip");
      button.type = "button";
      button.title = `Show ${entry.name} alone`;
      button.setAttribute("aria-pressed", String(view.alone === i));
      button.append(swatch(entry.colour), entry.name);
      button.addEventListener("click", () => { view.alone = view.alone === i ? null : i; redraw(); });
      list.append(button);
    });
    return list;
  }

  function plainLegend(entries) {
    const list = element("div", "class-legend");
    for (const entry of entries) {
      const chip = element("span", "chip");
      chip.append(swatch(entry.colour), entry.name);
      list.append(chip);
    }
    return list;
  }

  function element(tag, className = "", text = "") {
    const made = document.createElement(tag);
    if (className) made.className = className;
    made.textContent = text;
    return made;
  }

  function swatch(colour) {
    const made = element("i");
    made.style.background = colour;
    return made;
  }

  // ---- zoom, pan, line ------------------------------------------------------------------------------------------

  function place() {
    const limit = 1 - view.zoom;
    view.x = Math.min(0, Math.max(limit, view.x));
    view.y = Math.min(0, Math.max(limit, view.y));
    for (const side of sides) {
      side.canvas.style.transform = `translate(${100 * view.x}%, ${100 * view.y}%) scale(${view.zoom})`;
    }
    scaleBar();
  }

  function zoomAt(factor, fx, fy) {
    const zoom = Math.min(24, Math.max(1, view.zoom * factor));
    view.x = fx - ((fx - view.x) * zoom) / view.zoom;
    view.y = fy - ((fy - view.y) * zoom) / view.zoom;
    view.zoom = zoom;
    place();
  }

  // Where the pointer is, as fractions of the pane under it.
  function fraction(event) {
    const panes = sides.map((side) => side.canvas.parentElement.getBoundingClientRect());
    const box = view.beside && event.clientX >= panes[1].left ? panes[1] : panes[0];
    return { fx: (event.clientX - box.left) / box.width, fy: (event.clientY - box.top) / box.height, box };
  }

  function setSplit(split) {
    view.split = Math.min(1, Math.max(0, split));
    stage.style.setProperty("--split", `${100 * view.split}%`);
    byId("divider").setAttribute("aria-valuenow", String(Math.round(100 * view.split)));
  }

  function scaleBar() {
    if (!data.metres_per_pixel) return;
    const shown = sides[0].canvas.parentElement.clientWidth || 1;
    const metres = (data.metres_per_pixel * data.width) / view.zoom / shown;
    const wanted = 110 * metres;
    const power = 10 ** Math.floor(Math.log10(wanted));
    const length = [5, 2, 1].map((step) => step * power).find((step) => step <= wanted) ?? power;
    const bar = byId("scale");
    bar.hidden = false;
    bar.firstElementChild.style.width = `${length / metres}px`;
    bar.lastElementChild.textContent = length >= 1000 ? `${length / 1000} km` : `${length} m`;
  }

  function read(event) {
    const { fx, fy } = fraction(event);
    const column = Math.floor(((fx - view.x) / view.zoom) * data.width);
    const row = Math.floor(((fy - view.y) / view.zoom) * data.height);
    const inside = column >= 0 && row >= 0 && column < data.width && row < data.height;
    const texts = inside ? sides.map((side) => valueAt(side, row * data.width + column)).filter(Boolean) : [];
    byId("readout").textContent = texts.join("   ·   ") || "\u00a0";
  }

  function valueAt(side, pixel) {
    const layer = layers.get(side.select.value);
    const legend = legendOf(layer.kind);
    if (!legend || !side.values) return "";
    const value = side.values[pixel];
    return `${side.badge.textContent}: ${value === nothing ? "no data" : legend[value].name}`;
  }

  // ---- wiring ---------------------------------------------------------------------------------------------------

  let drag = null;
  stage.addEventListener("pointerdown", (event) => {
    const onDivider = event.target.closest("#divider");
    drag = { split: Boolean(onDivider), x: event.clientX, y: event.clientY, from: { x: view.x, y: view.y } };
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", (event) => {
    read(event);
    if (!drag) return;
    const { box } = fraction(event);
    if (drag.split) {
      setSplit((event.clientX - stage.getBoundingClientRect().left) / stage.clientWidth);
    } else {
      view.x = drag.from.x + (event.clientX - drag.x) / box.width;
      view.y = drag.from.y + (event.clientY - drag.y) / box.height;
      place();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, () => { drag = null; });
  stage.addEventListener("wheel", (event) => {
    // The page scrolls as ever until one zooms on purpose.
    if (!event.ctrlKey && !event.metaKey && view.zoom === 1) return;
    event.preventDefault();
    const { fx, fy } = fraction(event);
    zoomAt(Math.exp(-event.deltaY / 400), fx, fy);
  }, { passive: false });
  stage.addEventListener("dblclick", (event) => {
    const { fx, fy } = fraction(event);
    zoomAt(2, fx, fy);
  });
  byId("divider").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
    if (step === undefined) return;
    setSplit(view.split + step);
    event.preventDefault();
  });
  byId("zoom-in").addEventListener("click", () => zoomAt(1.6, 0.5, 0.5));
  byId("zoom-out").addEventListener("click", () => zoomAt(1 / 1.6, 0.5, 0.5));
  byId("zoom-reset").addEventListener("click", () => { view.zoom = 1; setSplit(0.5); place(); });
  byId("side").addEventListener("click", (event) => {
    view.beside = !view.beside;
    event.currentTarget.setAttribute("aria-pressed", String(view.beside));
    stage.classList.toggle("beside", view.beside);
    place();
  });
  const year = byId("year");
  const setYear = (index) => {
    view.year = index;
    year.value = String(index);
    year.setAttribute("aria-valuetext", data.years[index]);
    document.querySelectorAll(".year-slider .ticks span").forEach((tick, i) => tick.classList.toggle("now", i === index));
    sides.forEach(draw);
  };
  year.addEventListener("input", () => setYear(Number(year.value)));
  let playing = null;
  byId("play").addEventListener("click", (event) => {
    if (playing) {
      clearInterval(playing);
      playing = null;
    } else if (data.years.length > 1) {
      playing = setInterval(() => setYear((view.year + 1) % data.years.length), 1100);
    }
    event.currentTarget.firstElementChild.textContent = playing ? "❚❚" : "▶";
    event.currentTarget.setAttribute("aria-label", playing ? "Stop" : "Play the years");
  });

  const firstOf = (...wanted) => wanted.find((id) => layers.has(id)) ?? data.layers[0].id;
  const maps = data.layers.filter((layer) => layer.kind === "class" && layer.id.startsWith("class/"));
  const start = [firstOf("composite"), firstOf(maps[0]?.id, "reference")];
  sides.forEach((side, i) => {
    for (const layer of data.layers) side.select.append(new Option(layer.label, layer.id));
    side.select.value = start[i];
    side.canvas.width = data.width;
    side.canvas.height = data.height;
    side.select.addEventListener("change", redraw);
  });
  stage.style.setProperty("--shape", `${data.width} / ${data.height}`);
  stage.style.setProperty("--ratio", String(data.width / data.height));
  setSplit(0.5);
  setYear(0);
  legends();
  place();
  addEventListener("resize", scaleBar);
})();
