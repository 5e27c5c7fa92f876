// The history of a run: what each client asked and got, what was done to the cluster, and what the cluster said.
//
// Clients, faults and observers write it, `checker` reads it. All times are in ms by `Date.now()`.
'use strict';

class History {
  begunAt = Date.now();
  /** Requests and the openings of connections; see `asks`. */
  requests = [];
  /** What faults did, `{at, fault, text}`. */
  acts = [];
  /** Workers that were killed on purpose, `{at, pid, by, ports}`; `ports` are the clients it had accepted, if known. */
  kills = [];
  /** What stood still, `{who, from, to, why, ports}`: a pid, `'master'`, or `'all'`. */
  holds = [];
  /** When the master had no descriptors left, or could not fork, `{from, to}`. */
  shortages = [];
  /** When there was no master, `{from, to}`. */
  outages = [];
  /** Orders to enable or disable, `{from, to, isEnabled}`. */
  switches = [];
  /** Answers on the ECV path, `{from, to, word, where}`. */
  health = [];
  /** Answers to orders, `{what, from, to, ok, code}`. */
  orders = [];
  /** Counters of /metrics, `{at, master, counters}`. */
  scrapes = [];
  /** The scrape that was made while no client asked. */
  tally;
  /** How many HTTP requests others than the clients have sent, at most. */
  others = 0;
  /** For how long each worker had waited for a processor at a time, `{at, ms}` by pid. */
  waits = new Map();
  /** What is wrong whatever the checker thinks, `{at, rule, text}`. */
  faultsFound = [];
  /** What workers did, `{pid, master, listeningAt, drainingAt, diedAt, code, signal, reason}`; filled in at the end. */
  workers = [];
  /** When the last fault was over. */
  quietFrom = Infinity;
  /** When the shutdown began. */
  endingAt = Infinity;
  /** When the run failed; what clients saw from then on says nothing. */
  brokenAt = Infinity;
  #connections = 0;

  /** A client opens a connection. */
  connection(kind, address) {
    const openedAt = Date.now();
    return { number: this.#connections += 1, kind, address, port: undefined, openedAt, pid: undefined, answeredAt: 0 };
  }

  /** A client asks for something; `ends` says how that ended. */
  asks(connection, what) {
    const request = { connection, what, askedAt: Date.now(), endedAt: undefined, outcome: undefined, detail: '' };
    this.requests.push(request);
    return request;
  }

  ends(request, outcome, detail = '') {
    Object.assign(request, { endedAt: Date.now(), outcome, detail });
    if (outcome === 'ok') request.connection.answeredAt = request.endedAt;
  }

  act(fault, text) {
    this.acts.push({ at: Date.now(), fault, text });
  }

  found(rule, text) {
    this.faultsFound.push({ at: Date.now(), rule, text });
  }

  /** Somebody stands still from now on; gives what is called when that is over. */
  hold(who, why, ports) {
    const hold = { who, why, ports, from: Date.now(), to: Infinity };
    this.holds.push(hold);
    return () => { hold.to = Date.now(); };
  }

  /** The lines around a time, for people. */
  around(at, before = 1500, after = 500) {
    const lines = [
      ...this.acts.map(({ at: when, fault, text }) => [when, `${fault}: ${text}`]),
      ...this.kills.map(({ at: when, pid, by, ports }) => [when, `killed ${pid} by ${by}${ports ? `, which had ${
        ports.size} connections` : ''}`]),
      ...this.workers.flatMap(({ pid, listeningAt, drainingAt, diedAt, code, signal, reason }) => [
        [listeningAt, `worker ${pid} listens`], [drainingAt, `worker ${pid} drains`],
        [diedAt, `worker ${pid} died, ${signal ?? code}: ${reason}`]]),
      ...this.requests.filter(({ outcome }) => outcome !== 'ok').map((request) => [request.endedAt, told(request)]),
      ...this.holds.flatMap(({ who, why, from, to }) => [[from, `${who} stands still: ${why}`],
        [to, `${who} goes on: ${why}`]]),
    ];
    return lines.filter(([when]) => when >= at - before && when <= at + after)
      .sort(([one], [other]) => one - other)
      .map(([when, text]) => `${((when - this.begunAt) / 1000).toFixed(3).padStart(9)}  ${text}`);
  }
}

/** A request as one line. */
function told({ connection, what, askedAt, endedAt, outcome, detail }) {
  const { number, kind, address, port, pid, openedAt } = connection;
  const where = `${kind} ${number} from ${address ?? 'unix'}:${port ?? '-'}, open for ${askedAt - openedAt} ms`;
  return `${outcome} after ${endedAt - askedAt} ms: ${what} on ${where}, worker ${pid ?? 'unknown'}: ${detail}`;
}

module.exports = { History, told };
