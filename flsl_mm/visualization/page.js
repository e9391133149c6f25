'use strict';
const sections = [...document.querySelectorAll('section')], links = [...document.querySelectorAll('nav a')];

/* One image at a time: that of the address, or the first. */
function choose() {
  const id = location.hash.slice(1);
  const chosen = sections.find((section) => section.id === id) || sections[0];
  sections.forEach((section) => section.classList.toggle('chosen', section === chosen));
  links.forEach((link) => link.classList.toggle('chosen', link.hash === '#' + chosen.id));
}
if (sections.length > 1 && links.length) {
  document.body.classList.add('one');
  addEventListener('hashchange', choose);
  choose();
}

/* Colors from dark blue to yellow, of three bytes each. */
const palette = document.body.dataset.palette;
function color(share) {
  const last = palette.length / 6 - 1, at = 6 * Math.min(last, Math.max(0, Math.round(share * last)));
  return [0, 2, 4].map((k) => parseInt(palette.slice(at + k, at + k + 2), 16));
}

function unpack(canvas) {
  if (!canvas.features) canvas.features = Int8Array.from(atob(canvas.dataset.features), (c) => c.charCodeAt(0));
  return canvas.features;
}

/* Draw how similar all patches of a model are to the one at a point, in parts of width and height. */
function draw(canvas, across, down) {
  const h = canvas.height, w = canvas.width, features = unpack(canvas), size = features.length / (h * w);
  const row = Math.min(h - 1, Math.floor(down * h)), column = Math.min(w - 1, Math.floor(across * w));
  const own = size * (row * w + column), values = new Float32Array(h * w);
  for (let patch = 0; patch < h * w; patch++) {
    let sum = 0;
    for (let k = 0; k < size; k++) sum += features[size * patch + k] * features[own + k];
    values[patch] = sum * canvas.dataset.scale;
  }
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const context = canvas.getContext('2d'), image = context.createImageData(w, h);
  values.forEach((value, patch) => {
    image.data.set([...color(high > low ? (value - low) / (high - low) : 0), 255], 4 * patch);
  });
  context.putImageData(image, 0, 0);
  const range = canvas.closest('figure').querySelector('.range');
  range.textContent = ': ' + low.toFixed(2) + ' to ' + high.toFixed(2);
}

document.querySelectorAll('.maps').forEach((maps) => {
  const canvases = [...maps.querySelectorAll('canvas')], frames = [...maps.querySelectorAll('.map')];
  const [h, w] = [canvases[0].height, canvases[0].width];
  let point = maps.dataset.point.split(' ').map(Number);
  function show(across, down) {
    point = [Math.min(1 - 1e-6, Math.max(0, across)), Math.min(1 - 1e-6, Math.max(0, down))];
    canvases.forEach((canvas) => draw(canvas, ...point));
    frames.forEach((frame) => {
      const ring = frame.querySelector('.ring');
      [ring.style.left, ring.style.top] = point.map((part) => 100 * part + '%');
    });
  }
  frames.forEach((frame) => frame.addEventListener('click', (event) => {
    const box = frame.getBoundingClientRect();
    show((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  }));
  maps.tabIndex = 0;
  maps.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    show(point[0] + step[0] / w, point[1] + step[1] / h);
  });
  show(...point);
});
