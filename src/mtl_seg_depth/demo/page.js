"use strict";
// Values come from the server, not colours: what stands under the cursor is read out of them.

const $ = (selector, within = document) => within.querySelector(selector);
const state = { figures: [], view: "labels", asked: 0 };

async function start() {
  const { networks, streets } = await (await fetch("networks")).json();
  const list = $("#streets");
  for (let index = 0; index < streets; index++) {
    const button = document.createElement("button");
    const image = document.createElement("img");
    image.src = `street/${index}`;
    image.alt = `Drawn street ${index + 1}`;
    button.append(image);
    button.addEventListener("click", () => see(fetch(image.src).then((response) => response.blob()), button));
    list.append(button);
  }
  state.figures = networks.map((network, index) => new Figure(network, index));
  $("#figures").classList.toggle("two", networks.length > 1);
  for (const view of ["labels", "depth"]) {
    const has = networks.some((network) => network[view === "labels" ? "classes" : "depth"]);
    const input = $(`input[value="${view}"]`);
    input.disabled = !has;
    input.parentElement.hidden = !has;
  }
  $("input[name=view]:not(:disabled)").click();
  list.firstChild.click();
}

// A file, or the promise of one; what was asked for last is shown, whichever comes first.
async function see(file, button = null) {
  const asked = ++state.asked;
  for (const each of $("#streets").children) each.setAttribute("aria-pressed", each === button);
  $("#notice").hidden = true;
  $("#figures").setAttribute("aria-busy", "true");
  try {
    const answers = [];
    const picture = await file;
    for (const figure of state.figures) if (asked === state.asked) answers.push(await figure.ask(picture));
    if (asked === state.asked) state.figures.forEach((figure, index) => figure.take(answers[index]));
  } catch (error) {
    if (asked !== state.asked) return;
    $("#notice").textContent = error instanceof TypeError ? "The server does not answer; is demo.py still running?" : error.message;
    $("#notice").hidden = false;
  }
  if (asked === state.asked) $("#figures").setAttribute("aria-busy", "false");
}

function opened(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const answer = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const pixels = answer.height * answer.width;
  let at = 4 + length;
  const next = (type, count) => {
    const values = new type(buffer, at, count);
    at += count * type.BYTES_PER_ELEMENT;
    return values;
  };
  answer.metres = answer.depth ? next(Float32Array, pixels) : null;
  answer.labels = answer.semseg ? next(Uint8Array, pixels) : null;
  answer.rgb = next(Uint8Array, 3 * pixels);
  return answer;
}

class Figure {
  constructor(network, index) {
    this.network = network;
    this.index = index;
    this.element = $("#figure").content.cloneNode(true).firstElementChild;
    $("#figures").append(this.element);
    $(".name", this.element).textContent = network.name;
    $(".scores", this.element).textContent = [network.fingerprint, network.scores].filter(Boolean).join(" · ");
    this.canvas = $("canvas", this.element);
    for (const kind of ["pointermove", "pointerdown"]) {
      this.canvas.addEventListener(kind, (event) => {
        const box = this.canvas.getBoundingClientRect();
        const x = (event.clientX - box.left) / box.width;
        point(x, (event.clientY - box.top) / box.height);
        if (event.pointerType === "mouse" && event.buttons & 1) divide(100 * x);
      });
    }
    this.canvas.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
    this.canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (!step || !this.answer) return;
      event.preventDefault();
      const [x, y] = state.at || [0.5, 0.5];
      const pixels = event.shiftKey ? 1 : 8;
      point(x + (step[0] * pixels) / this.answer.width, y + (step[1] * pixels) / this.answer.height);
    });
  }

  async ask(file) {
    const response = await fetch(`see/${this.index}`, { method: "POST", body: file });
    if (!response.ok) throw new Error((await response.json()).error);
    return opened(await response.arrayBuffer());
  }

  take(answer) {
    this.answer = answer;
    this.canvas.width = answer.width;
    this.canvas.height = answer.height;
    // Small pictures are enlarged, and none is wider than the window is high enough for.
    $(".picture", this.element).style.width = `min(100%, ${((78 * answer.width) / answer.height).toFixed(2)}vh)`;
    const { labels, metres, rgb } = answer;
    const { classes, depth } = this.network;
    this.layers = { picture: painted(answer, (pixel) => [rgb[3 * pixel], rgb[3 * pixel + 1], rgb[3 * pixel + 2]]) };
    if (labels) {
      this.layers.labels = painted(answer, (pixel) =>
        classes[labels[pixel]].colour.map((value, channel) => 0.72 * value + 0.28 * rgb[3 * pixel + channel]));
    }
    if (metres) {
      this.layers.depth = painted(answer, (pixel) =>
        depth.colours[Math.round(share(depth, metres[pixel]) * (depth.colours.length - 1))]);
    }
    const why = answer.why && ` ${answer.why[0].toUpperCase()}${answer.why.slice(1)}.`;
    $(".said", this.element).textContent = `${answer.said}: ${answer.seconds.toFixed(2)} s.${why}`;
    this.draw();
    this.legend();
    this.point();
  }

  draw() {
    if (!this.layers) return;
    const context = this.canvas.getContext("2d");
    const { width, height } = this.canvas;
    const edge = (width * $("#divider").value) / 100;
    context.drawImage(this.layers.picture, 0, 0);
    const layer = this.layers[state.view];
    if (layer && edge < width) context.drawImage(layer, edge, 0, width - edge, height, edge, 0, width - edge, height);
    $(".line", this.element).style.left = `${(100 * edge) / width}%`;
    const told = state.view === "labels" ? "labels" : "depth";
    this.canvas.setAttribute("aria-label", `The picture and its ${told} by ${this.network.name}; arrow keys move the pointer`);
  }

  legend() {
    const legend = $(".legend", this.element);
    legend.replaceChildren();
    if (!this.answer) return;
    if (state.view === "labels" && this.answer.labels) {
      const counts = new Array(256).fill(0);
      for (const label of this.answer.labels) counts[label]++;
      const list = document.createElement("ul");
      const { classes } = this.network;
      for (const label of [...classes.keys()].filter((id) => counts[id]).sort((a, b) => counts[b] - counts[a])) {
        const item = document.createElement("li");
        const per = (100 * counts[label]) / this.answer.labels.length;
        item.append(swatch(classes[label].colour), `${classes[label].name} ${per < 0.5 ? "<1" : per.toFixed(0)} %`);
        list.append(item);
      }
      legend.append(list);
    } else if (state.view === "depth" && this.answer.metres) {
      const { depth } = this.network;
      const scale = painted({ width: depth.colours.length, height: 1 }, (pixel) => depth.colours[pixel]);
      scale.className = "scale";
      const ticks = document.createElement("div");
      ticks.className = "ticks";
      const last = depth.ticks.length - 1;
      const apart = 38 / legend.clientWidth; // no number on top of another one
      let shown = -1;
      depth.ticks.forEach((tick, index) => {
        const at = share(depth, tick);
        if (index < last && (at - shown < apart || (index > 0 && 1 - at < 2 * apart))) return;
        shown = at;
        const mark = document.createElement("span");
        mark.textContent = index === last ? `${tick} m` : `${tick}`;
        mark.style.left = `${100 * at}%`;
        ticks.append(mark);
      });
      legend.append(scale, ticks);
    }
  }

  point() {
    const cross = $(".cross", this.element);
    const tag = $(".tag", this.element);
    cross.hidden = tag.hidden = !state.at || !this.answer;
    if (tag.hidden) return;
    const { width, height, labels, metres } = this.answer;
    const [x, y] = state.at;
    const pixel = Math.min(height - 1, Math.floor(y * height)) * width + Math.min(width - 1, Math.floor(x * width));
    const label = labels && this.network.classes[labels[pixel]];
    $("i", tag).hidden = $("b", tag).hidden = !label;
    if (label) {
      $("i", tag).style.background = `rgb(${label.colour})`;
      $("b", tag).textContent = label.name;
    }
    $("span", tag).textContent = metres ? `${metres[pixel].toFixed(metres[pixel] < 10 ? 2 : 1)} m` : "";
    for (const each of [cross, tag]) {
      each.style.left = `${100 * x}%`;
      each.style.top = `${100 * y}%`;
    }
    const beside = x > 0.6 ? "calc(-100% - 14px)" : "14px";
    tag.style.transform = `translate(${beside}, ${y < 0.2 ? "14px" : "calc(-100% - 10px)"})`;
  }
}

function divide(percent) {
  $("#divider").value = percent;
  for (const figure of state.figures) figure.draw();
}

function point(x, y) {
  const within = (value) => Math.min(1, Math.max(0, value));
  state.at = x === null ? null : [within(x), within(y)];
  for (const figure of state.figures) figure.point();
}

function share({ near, far }, metres) {
  return Math.min(1, Math.max(0, Math.log(metres / near) / Math.log(far / near)));
}

function swatch(colour) {
  const square = document.createElement("i");
  square.style.background = `rgb(${colour})`;
  return square;
}

function painted({ width, height }, colourOf) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let pixel = 0; pixel < width * height; pixel++) {
    image.data.set(colourOf(pixel), 4 * pixel);
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

$("#divider").addEventListener("input", (event) => divide(event.target.value));
window.addEventListener("resize", () => state.figures.forEach((figure) => figure.legend()));
for (const input of document.querySelectorAll("input[name=view]")) {
  input.addEventListener("change", () => {
    state.view = input.value;
    for (const figure of state.figures) {
      figure.draw();
      figure.legend();
    }
  });
}
$("#file").addEventListener("change", (event) => event.target.files[0] && see(event.target.files[0]));
let inside = 0;
for (const [kind, more] of [["dragenter", 1], ["dragleave", -1], ["dragover", 0], ["drop", 0]]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    inside = kind === "drop" ? 0 : inside + more;
    $("#drop").hidden = inside <= 0;
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) see(file);
  });
}
start();
