// Small charts as SVG, side by side: one line each, from zero upwards, over an axis of which each step doubles.
'use strict';

const WIDTH = 300;
const HEIGHT = 190;
const INSET = { left: 46, right: 14, top: 34, bottom: 36 };
const STEPS = 4;

/** One picture of `charts` (`{title, across, points: [[x, y]]}`), `perRow` in a row. */
function picture(charts, { perRow, caption }) {
  const rows = Math.ceil(charts.length / perRow);
  const [width, height] = [WIDTH * perRow, HEIGHT * rows + 24];
  const placed = charts.map((chart, at) => {
    const [x, y] = [(at % perRow) * WIDTH, Math.floor(at / perRow) * HEIGHT];
    return `<g transform="translate(${x} ${y})">\n${drawn(chart)}\n</g>`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
      'font-family="sans-serif" font-size="11" fill="#333">',
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...placed,
    `<text x="${width / 2}" y="${height - 8}" text-anchor="middle" fill="#666">${escaped(caption)}</text>`,
    '</svg>',
    '',
  ].join('\n');
}

function drawn({ title, across, points }) {
  const [first, last] = [points[0][0], points.at(-1)[0]];
  const top = roundUp(Math.max(...points.map(([, y]) => y)));
  const share = (x) => Math.log(x / first) / Math.log(last / first);
  const atX = (x) => round(INSET.left + share(x) * (WIDTH - INSET.left - INSET.right));
  const atY = (y) => round(HEIGHT - INSET.bottom - y / top * (HEIGHT - INSET.top - INSET.bottom));
  const lines = Array.from({ length: STEPS + 1 }, (_, step) => top * step / STEPS).map((y) =>
    `<line x1="${INSET.left}" x2="${WIDTH - INSET.right}" y1="${atY(y)}" y2="${atY(y)}" stroke="#ddd"/>` +
    `<text x="${INSET.left - 6}" y="${atY(y) + 4}" text-anchor="end">${short(y)}</text>`);
  const marks = points.map(([x]) =>
    `<text x="${atX(x)}" y="${HEIGHT - INSET.bottom + 15}" text-anchor="middle">${short(x)}</text>`);
  const path = points.map(([x, y]) => `${atX(x)},${atY(y)}`).join(' ');
  const dots = points.map(([x, y]) =>
    `<circle cx="${atX(x)}" cy="${atY(y)}" r="3" fill="#1f5fa8"><title>${short(x)}: ${short(y)}</title></circle>`);
  return [
    `<text x="${INSET.left}" y="18" font-size="12" font-weight="bold">${escaped(title)}</text>`,
    ...lines,
    ...marks,
    `<text x="${WIDTH - INSET.right}" y="${HEIGHT - 6}" text-anchor="end" fill="#666">${escaped(across)}</text>`,
    `<polyline points="${path}" fill="none" stroke="#1f5fa8" stroke-width="2"/>`,
    ...dots,
  ].join('\n');
}

/** The next of 1, 2, 4, 5 and 8 times a power of ten, so that four steps have short labels. */
function roundUp(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 8, 10].map((factor) => factor * power).find((step) => step >= value * 0.9999);
}

function short(value) {
  return value >= 1000 ? `${round(value / 1000)}k` : String(Number(value.toPrecision(3)));
}

function round(value) {
  return Math.round(value * 100) / 100;
}

function escaped(text) {
  return text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');
}

module.exports = { picture };
