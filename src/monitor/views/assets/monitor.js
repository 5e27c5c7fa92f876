// Keeps the monitor's page up to date from the stream of events, draws its graphs, and sends its forms.
//
// Everything that is shown was put into words by the monitor; here it only gets into its place, as text. The page is
// whole without this script.
'use strict';

(() => {
  const { body } = document;
  const root = body.dataset.root;
  const most = Number(body.dataset.points);
  const live = document.getElementById('live');
  const rows = document.getElementById('rows');
  const template = document.getElementById('row');
  const timeline = document.getElementById('timeline');
  const answer = document.getElementById('answer');
  const icon = document.querySelector('[rel="icon"]');
  const title = document.title;
  const COLOURS = { good: '2a9d6a', fair: 'd98c1f', poor: 'd64545' };
  // Below these a graph would make much of nothing: requests a second, ms of lag, percent of a core, MB.
  const FLOORS = [2, 20, 10, 10];
  // What a text's units are worth, within one column.
  const WORTH = { ms: 1, s: 1e3, min: 6e4, h: 3.6e6, d: 8.64e7, GB: 1024 };
  const SILENCE_MS = 10000;
  const ARMED_MS = 4000;

  // The points of the cluster and of each worker, by its id; the look that they end with.
  let all = [];
  let workers = new Map();
  let last = 0;
  let heard = 0;
  let source;
  // The column by which rows are sorted, and 1 or -1; nothing is the order of the monitor.
  let sorting = { by: -1, turn: -1 };

  offerSorting();
  connect();
  setInterval(watch, 1000);
  document.addEventListener('submit', submit);

  function connect() {
    source = new EventSource(`${root}status.stream`);
    source.addEventListener('trends', ({ data }) => begin(JSON.parse(data)));
    source.addEventListener('timeline', ({ data }) => { timeline.innerHTML = JSON.parse(data); });
    source.addEventListener('status', ({ data }) => update(JSON.parse(data)));
    source.addEventListener('error', () => lost('connection lost'));
  }

  // A browser tries again by itself, but not after every refusal; and a connection may be dead without a word.
  function watch() {
    const silent = Date.now() - heard;
    if (heard > 0 && silent > SILENCE_MS) lost(`nothing heard for ${Math.round(silent / 1000)} s`);
    if (source.readyState !== EventSource.CLOSED) return;
    source.close();
    connect();
  }

  function lost(how) {
    say('poor', how);
    colour('poor');
  }

  function say(mood, text) {
    if (live.textContent === text) return;
    live.className = `live ${mood}`;
    live.textContent = text;
  }

  function begin({ look, points, workers: known }) {
    all = points;
    workers = new Map(Object.entries(known));
    last = look;
  }

  function update({ look, facts, points, workers: present }) {
    heard = Date.now();
    say('good', 'live');
    // Looks that this browser was too slow for are shown like the one that it got.
    const steps = Math.min(look - last, most);
    last = look;
    if (points) add(all, points, steps);
    show(document, facts);
    const seen = new Set();
    for (const worker of present) {
      const id = String(worker.id);
      seen.add(id);
      if (worker.points) {
        if (!workers.has(id)) workers.set(id, []);
        add(workers.get(id), worker.points, steps);
      }
      show(rowOf(id, worker.cells.pid), worker.cells);
    }
    for (const row of [...rows.children]) if (!seen.has(row.dataset.worker)) remove(row);
    sort();
    draw();
    body.dataset.look = look;
    document.title = `${facts.workers[0]} ${facts.state[0]}: ${title}`;
    colour(facts.state[1]);
  }

  // So that a tab in the background tells as well.
  function colour(mood) {
    const href = icon.href.replace(/fill='%23[0-9a-f]{6}'/, `fill='%23${COLOURS[mood]}'`);
    if (icon.href !== href) icon.href = href;
  }

  function add(points, point, steps) {
    for (let step = 0; step < steps; step += 1) points.push(point);
    points.splice(0, points.length - most);
  }

  // Cells of the cluster stand outside the table.
  function show(place, cells) {
    for (const cell of place.querySelectorAll('[data-cell]')) {
      if (place === document && rows.contains(cell)) continue;
      const value = cells[cell.dataset.cell];
      if (value === undefined) continue;
      const [words, mood] = Array.isArray(value) ? value : [value, ''];
      if (cell.textContent !== words) cell.textContent = words;
      if (cell.className !== mood) cell.className = mood;
    }
  }

  function rowOf(id, pid) {
    const known = rows.querySelector(`[data-worker="${id}"]`);
    if (known) return known;
    const row = template.content.firstElementChild.cloneNode(true);
    row.dataset.worker = id;
    row.querySelector('th').textContent = id;
    const input = row.querySelector('[name="pid"]');
    if (input) {
      input.value = pid;
      row.querySelector('[data-id]').textContent = id;
    }
    row.classList.add('fresh');
    rows.append(row);
    return row;
  }

  function remove(row) {
    // Whoever stood there with the keyboard goes on from the table.
    if (row.contains(document.activeElement)) rows.closest('.scroll').focus();
    workers.delete(row.dataset.worker);
    row.remove();
  }

  function offerSorting() {
    const heads = [...document.querySelectorAll('thead th:not(:has(.unseen))')];
    heads.forEach((head, by) => {
      const button = document.createElement('button');
      button.append(...head.childNodes);
      button.addEventListener('click', () => {
        // The largest first, then the smallest, then as before.
        if (sorting.by !== by) sorting = { by, turn: -1 };
        else sorting = sorting.turn === -1 ? { by, turn: 1 } : { by: -1, turn: -1 };
        for (const each of heads) each.removeAttribute('aria-sort');
        if (sorting.by === by) head.setAttribute('aria-sort', sorting.turn === 1 ? 'ascending' : 'descending');
        sort();
      });
      head.append(button);
    });
  }

  // Nothing moves under the hands of somebody who is about to press a button there.
  function sort() {
    if (rows.contains(document.activeElement)) return;
    const { by, turn } = sorting;
    const key = (row) => (by === -1 ? Number(row.dataset.worker) : worth(row.children[by].textContent));
    const keyed = [...rows.children].map((row) => ({ row, key: key(row) }));
    keyed.sort((one, other) => (by === -1 ? 1 : turn) * compare(one.key, other.key));
    if (keyed.some(({ row }, at) => rows.children[at] !== row)) rows.append(...keyed.map(({ row }) => row));
  }

  function compare(one, other) {
    const areNumbers = typeof one === 'number' && typeof other === 'number';
    return areNumbers ? one - other : String(one).localeCompare(String(other));
  }

  // `1 min 5 s` is 65,000, `stuck for 3 s` is a word, and what is not known is less than nothing.
  function worth(words) {
    if (words === '–') return -1;
    const parts = [...words.matchAll(/([\d.]+)(?: ?(ms|min|s|h|d|GB|MB|%))?/g)];
    if (parts.length === 0 || /^[a-z]/.test(words)) return words;
    return parts.reduce((sum, [, number, unit]) => sum + Number(number) * (WORTH[unit] ?? 1), 0);
  }

  // A column has one scale, so that workers can be compared.
  function draw() {
    const tops = FLOORS.map((floor, at) => {
      let top = floor;
      for (const points of workers.values()) for (const point of points) top = Math.max(top, point[at]);
      return top;
    });
    for (const row of rows.children) {
      const points = workers.get(row.dataset.worker) ?? [];
      for (const graph of row.querySelectorAll('[data-graph]')) trace(graph, points, tops[graph.dataset.graph]);
    }
    for (const graph of document.querySelectorAll('.tiles [data-graph]')) {
      const at = graph.dataset.graph;
      trace(graph, all, all.reduce((top, point) => Math.max(top, point[at]), FLOORS[at]));
    }
  }

  function trace(graph, points, top) {
    const at = graph.dataset.graph;
    if (!graph.firstChild) {
      graph.setAttribute('viewBox', `0 0 ${most - 1} 100`);
      graph.setAttribute('preserveAspectRatio', 'none');
      for (const part of ['area', 'line']) {
        const path = document.createElementNS(graph.namespaceURI, 'path');
        path.setAttribute('class', part);
        graph.append(path);
      }
    }
    const start = most - points.length;
    const steps = points.map((point, index) => `${start + index} ${(96 - point[at] / top * 92).toFixed(1)}`);
    const line = steps.length > 1 ? `M${steps.join('L')}` : '';
    graph.lastChild.setAttribute('d', line);
    graph.firstChild.setAttribute('d', line && `${line}L${most - 1} 100L${start} 100Z`);
  }

  // The first press asks, the second does it.
  function submit(event) {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector('button');
    if (form.dataset.armed === undefined) {
      arm(form, button);
      return;
    }
    disarm(form, button);
    send(form, button);
  }

  function arm(form, button) {
    form.dataset.armed = '';
    button.dataset.words = button.innerHTML;
    button.textContent = 'Sure? Press again';
    setTimeout(() => disarm(form, button), ARMED_MS);
  }

  function disarm(form, button) {
    if (form.dataset.armed === undefined) return;
    delete form.dataset.armed;
    button.innerHTML = button.dataset.words;
  }

  async function send(form, button) {
    const what = button.textContent.trim();
    tell('', `${what}: asked`);
    try {
      const response = await fetch(form.action, {
        method: 'POST',
        headers: { accept: 'application/json', 'x-cluster2-control': '1' },
        body: new URLSearchParams(new FormData(form)),
      });
      if (response.ok) {
        tell('good', response.status === 202 ? `${what}: under way` : `${what}: done`);
        return;
      }
      const { message } = response.status === 403 ? { message: 'not allowed' } : await response.json();
      tell('poor', `${what}: ${message}`);
    } catch (error) {
      tell('poor', `${what}: ${error.message}`);
    }
  }

  function tell(mood, words) {
    answer.className = mood;
    answer.textContent = words;
  }
})();
